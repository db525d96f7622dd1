"""A host that is gone is removed also while the store of the backups is down."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
# Nobody listens there.
DEAD = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


def test_the_end_says_what_is_left_to_do_at_the_store(tmp_path: Path) -> None:
    folders = {
        f"register_{name}_dir": str(tmp_path / name)
        for name in ("targets", "routes", "data_sources", "heartbeats")
    }
    target = tmp_path / "targets/node_exporter/gone.yml"
    target.parent.mkdir(parents=True)
    target.touch()
    route = tmp_path / "routes/gone/forecaster.yml"
    route.parent.mkdir(parents=True)
    route.touch()
    inventory = tmp_path / "hosts.yml"
    hosts = {"gone": DEAD, "keeper": DEAD, "mon": {"ansible_connection": "local"}}
    groups: dict[str, Any] = {
        "monitoring": {"hosts": {"mon": {}}},
        "gateway": {"hosts": {"mon": {}}},
        "backup_store": {"hosts": {"keeper": {}}},
    }
    # As who runs the tests: nothing of this machine is touched but the folders.
    everybody = {**folders, "ansible_become": False}
    site = {"all": {"hosts": hosts, "vars": everybody, "children": groups}}
    inventory.write_text(yaml.safe_dump(site), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "playbooks/remove_host.yml", "-e", "host=gone"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert not target.exists()
    assert not route.parent.exists()
    last = " ".join(done.stdout.rpartition("PLAY [Say what is left to do]")[2].split())
    assert "The store keeper does not answer: it still lets gone in" in last
    assert "the next run of site.yml takes both away" in last
    assert "mon still lead to gone until site.yml runs over them: site.yml --limit mon" in last
