"""What the store's preflight says of an inventory, as Ansible reads it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

ROLE = Path(__file__).parents[2] / "roles/backup_store"


def test_a_variable_of_before_that_kept_more_is_refused(tmp_path: Path) -> None:
    play = {
        "hosts": "current, former",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "tasks": [
            {
                "ansible.builtin.assert": {
                    "that": "__backup_store_problems | length == 0",
                    "fail_msg": "{{ __backup_store_problems | join(',') }}",
                }
            },
            {"ansible.builtin.debug": {"msg": "reached"}},
        ],
    }
    hosts = {"current": None, "former": {"backup_store_keep_last": 90}}
    site = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    for name, what in (("play.yml", [play]), ("hosts.yml", site)):
        (tmp_path / name).write_text(yaml.safe_dump(what), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), str(tmp_path / "play.yml")],
        cwd=ROLE.parents[1],
        env={**os.environ, "NO_COLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = " ".join(done.stdout.split())
    assert "ok: [current] => msg: reached" in said, done.stdout
    assert "ok: [former] => msg: reached" not in said, done.stdout
    assert "Set backup_store_keep_days to as many nights as are to stay" in said
