"""A boot, and the end: these leave the hosts changed, so that they come last."""

from __future__ import annotations

import subprocess

from hosts import connect, wait_for
from play import changed_tasks, converge
from testinfra.host import Host
from walls import (
    COMMAND,
    METRICS,
    OPEN_TO_ALL,
    OPEN_TO_FRIENDS,
    UNIT,
    WALLED,
    address_of,
    answering,
    in_force,
    listen,
    rules,
)


def test_a_boot_brings_the_confirmed_rules_and_not_those_on_trial(walled: Host) -> None:
    before = rules(walled)
    walled.check_output(
        "cp -r /etc/lookout/firewall/ /etc/lookout/firewall.trees/other && "
        "sed -i 's/^.*comment \"ssh\"$//' /etc/lookout/firewall.trees/other/lookout.nft && "
        "ln -sfn firewall.trees/other /etc/lookout/firewall"
    )
    walled.check_output(f"{COMMAND} try 600")
    assert rules(walled) != before
    restart = ["podman", "restart", "--time", "5", walled.backend.name]
    subprocess.run(restart, check=True, timeout=60, capture_output=True)
    assert wait_for(lambda: walled.run("systemctl is-active multi-user.target").rc == 0, 60)
    assert rules(walled) == before
    listen(walled)
    assert answering(connect("stranger"), address_of(walled))["tcp"] == OPEN_TO_ALL
    assert answering(connect("friend"), address_of(walled))["tcp"] == OPEN_TO_FRIENDS


def test_switched_off_it_takes_its_table_and_itself_away(walls: list[Host]) -> None:
    for host in walls:
        host.check_output("nft add table ip other")
    done = converge(*WALLED, firewall_enabled=False)
    assert done.returncode == 0, done.stdout
    for host in walls:
        assert host.check_output("nft list tables") == "table ip other"
        for path in (COMMAND, METRICS, "/etc/lookout/firewall", f"/etc/systemd/system/{UNIT}"):
            assert not host.file(path).exists, path
        found = answering(connect("stranger"), address_of(host))["tcp"]
        assert set(range(8001, 8008)) <= set(found)
        host.check_output("nft delete table ip other")
    # Now nobody else uses nftables, and nothing else is left to take away.
    purge = ["removal : Ensure packages that came with us are purged"]
    assert changed_tasks(converge(*WALLED, firewall_enabled=False)) == purge
    assert not any(host.exists("nft") for host in walls)


def test_switched_on_again_it_is_there(walls: list[Host]) -> None:
    done = converge(*WALLED)
    assert done.returncode == 0, done.stdout
    assert all(in_force(host) for host in walls)
