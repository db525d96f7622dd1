"""Certificates are renewed without anybody typing it: the play, and the timer that starts it."""

from __future__ import annotations

import json

from hosts import connect
from play import changed_tasks, playbook

NAME = "lookout-renew-certificates"
# `trixie` plays the control node, which has neither this repository nor Ansible.
CONTROL = {
    "schedule_host": "trixie",
    "schedule_user": "root",
    "schedule_repository": "/srv",
    "schedule_ansible_playbook": "/usr/bin/true",
    "schedule_inventory": "/etc/hosts",
    "schedule_vault_password_file": "/etc/hostname",
}


def schedule(**more: str) -> list[str]:
    done = playbook("playbooks/schedule.yml", "-e", json.dumps({**CONTROL, **more}))
    assert done.returncode == 0, done.stdout[-3000:]
    return changed_tasks(done)


def test_the_play_renews_what_is_missing_and_no_more() -> None:
    app = connect("bookworm")
    app.check_output("rm /etc/lookout/tls/host/fullchain.pem")
    done = playbook("playbooks/renew_certificates.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert app.file("/etc/lookout/tls/host/fullchain.pem").exists
    assert changed_tasks(playbook("playbooks/renew_certificates.yml")) == []


def test_a_timer_starts_it_every_week_until_it_is_taken_off() -> None:
    control = connect("trixie")
    assert schedule() != []
    assert schedule() == []
    control.check_output(f"systemd-analyze verify {NAME}.service {NAME}.timer")
    assert control.check_output(f"systemctl is-active {NAME}.timer") == "active"
    days = (
        '$(( ($(date +%s -d "$(systemctl show -P NextElapseUSecRealtime '
        f'{NAME}.timer)") - $(date +%s)) / 86400 ))'
    )
    assert 0 <= int(control.check_output(f"echo {days}")) <= 7
    control.check_output(f"systemctl start {NAME}.service")
    command = control.check_output(f"systemctl show -P ExecStart {NAME}.service")
    assert "-i /etc/hosts --vault-password-file /etc/hostname playbooks/renew_" in command
    assert schedule(schedule_state="absent") != []
    assert control.run(f"systemctl cat {NAME}.timer").rc != 0
    assert schedule(schedule_state="absent") == []


def test_what_the_timer_would_not_find_is_said() -> None:
    done = playbook(
        "playbooks/schedule.yml", "-e", json.dumps({**CONTROL, "schedule_inventory": "/nowhere"})
    )
    assert done.returncode != 0
    assert "/nowhere" in done.stdout
