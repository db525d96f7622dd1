"""A rule set that SSH does not get in under goes again by itself, whatever becomes of the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hosts import wait_for
from play import changed_tasks, converge
from testinfra.host import Host
from walls import (
    COMMAND,
    TRIED,
    WALLED,
    address_of,
    in_force,
    reaches,
    rules,
    said,
)

TRIAL = "/run/lookout-firewall/trial"
CONFIRMED = "/etc/lookout/firewall.loaded"
WANTED = "/etc/lookout/firewall"
# Nobody listens there: a rule set with this port alone locks SSH out.
WRONG_PORT = 2222
SECONDS = 15
LOCKED_OUT: dict[str, Any] = {
    "firewall_ssh_ports": [WRONG_PORT],
    "firewall_roll_back_seconds": SECONDS,
}


def ssh_open(host: Host) -> bool:
    return reaches("stranger", address_of(host), 22)


def test_a_new_connection_confirms(
    walls: list[Host], by_ssh: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By mitogen's connection, and by Ansible's own, which keeps the old one open for the next."""
    extra = [{"name": "more", "port": 8005, "protocol": "tcp", "sources": ["any"]}]
    for strategy, ports in (("lookout", extra), ("ansible.builtin.linear", [])):
        monkeypatch.setenv("ANSIBLE_STRATEGY", strategy)
        done = converge(*WALLED, **by_ssh, firewall_extra_ports=ports)
        assert done.returncode == 0, done.stdout
        assert "firewall : Ensure it stays" in changed_tasks(done)
        for host in walls:
            assert in_force(host)
            assert reaches("stranger", address_of(host), 8005) == bool(ports)


def test_the_connection_from_before_confirms_nothing(walled: Host, login: list[str]) -> None:
    done = subprocess.run(
        [*login, address_of(walled), f"sudo {COMMAND} try 30 && sudo {COMMAND} confirm new"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the connection from before" in done.stderr
    assert walled.file(TRIAL).exists
    late = walled.run(f"{COMMAND} confirm new")
    assert "did not come in by SSH" in late.stderr
    walled.check_output(f"{COMMAND} roll-back")
    assert in_force(walled)


def test_the_port_of_the_present_connection_is_found(walled: Host, login: list[str]) -> None:
    """An sshd at another port, which the configuration of the first does not name."""
    walled.check_output(
        "systemd-run --unit test-sshd -p RuntimeDirectory=sshd -p RuntimeDirectoryPreserve=yes "
        "/usr/sbin/sshd -D -p 2022 && nft insert rule inet lookout input tcp dport 2022 accept"
    )
    assert wait_for(lambda: walled.run("ss -Hltn 'sport = :2022' | grep -q .").rc == 0)
    shown = subprocess.run(
        [*login, "-p", "2022", address_of(walled), "sudo", COMMAND, "ssh-ports"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    walled.check_output("systemctl stop test-sshd && systemctl reload lookout-firewall")
    assert shown.stdout.split() == ["22", "2022"]


def test_a_rule_set_that_locks_us_out_goes_again(walls: list[Host], by_ssh: dict[str, Any]) -> None:
    before = [rules(host) for host in walls]
    confirmed = [host.check_output(f"readlink {CONFIRMED}") for host in walls]
    done = converge(*WALLED, **by_ssh, **LOCKED_OUT)
    assert done.returncode != 0
    words = said(done.stdout)
    for name in WALLED:
        assert f"The new rule set of {name} was not confirmed" in words, done.stdout
    assert "The former one is in force again" in words
    assert f"firewall_ssh_ports ({WRONG_PORT})" in words
    assert [rules(host) for host in walls] == before
    assert [host.check_output(f"readlink {CONFIRMED}") for host in walls] == confirmed


def test_a_run_killed_before_it_confirms_changes_nothing_for_good(
    walls: list[Host], by_ssh: dict[str, Any], tmp_path: Path
) -> None:
    before = [rules(host) for host in walls]
    log = tmp_path / "log"
    with log.open("w") as output:
        run = subprocess.Popen(
            [
                "ansible-playbook",
                "--inventory", str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent),
                "--limit", ",".join(WALLED), "--skip-tags", "base",
                "--extra-vars", json.dumps({**by_ssh, **LOCKED_OUT}),
                f"{os.environ['MOLECULE_SCENARIO_DIRECTORY']}/converge.yml",
            ],
            cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            locked_out = wait_for(lambda: not any(map(ssh_open, walls)), 120)
        finally:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait(10)
    assert locked_out, log.read_text()
    assert all(host.file(TRIAL).exists for host in walls)
    assert wait_for(lambda: all(map(ssh_open, walls)), SECONDS + 10)
    for host in walls:
        assert host.check_output(f"readlink {WANTED}") != host.check_output(f"readlink {CONFIRMED}")
    assert [rules(host) for host in walls] == before
    done = converge(*WALLED, **by_ssh)
    assert done.returncode == 0, done.stdout
    assert all(in_force(host) for host in walls)


def test_a_run_right_after_a_killed_one_converges(walls: list[Host]) -> None:
    """The timer of the first run must not take the rules of the second away."""
    for host in walls:
        host.check_output(f"{COMMAND} try 300")
    done = converge(*WALLED)
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == TRIED
    for host in walls:
        assert in_force(host)
        assert host.run("systemctl is-active lookout-firewall-roll-back.timer").rc != 0


def test_nobody_confirms_in_time(walled: Host) -> None:
    walled.check_output(f"{COMMAND} try 1")
    assert wait_for(lambda: not walled.file(TRIAL).exists, 10)
    late = walled.run(f"{COMMAND} confirm")
    assert late.rc == 1
    assert "no rule set is on trial" in late.stderr
    assert in_force(walled)
