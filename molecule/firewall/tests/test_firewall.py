"""What is open is what was declared, seen from two hosts outside, whatever happens to a run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hosts import connect, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from walls import (
    METRICS_UNIT,
    OPEN_TO_ALL,
    OPEN_TO_FRIENDS,
    TRIED,
    UNIT,
    WALLED,
    address_of,
    answering,
    in_force,
    metrics,
    reaches,
    rules,
    said,
)

MOST_EXPOSURE = 2.0
# An ICMP echo request with its checksum
PING = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); "
    "s.settimeout(2); s.connect(('{address}', 0)); "
    "s.send(bytes([8, 0, 0xF7, 0xFD, 0, 1, 0, 1])); assert s.recv(64)[20] == 0"
)


# --- what is open ---


def test_a_host_of_the_group_reaches_what_is_declared_and_nothing_else(walled: Host) -> None:
    found = answering(connect("friend"), address_of(walled))
    assert found == {"tcp": OPEN_TO_FRIENDS, "udp": [8002]}


def test_any_other_host_reaches_what_is_open_to_all(walled: Host) -> None:
    assert answering(connect("stranger"), address_of(walled)) == {"tcp": OPEN_TO_ALL, "udp": []}


def test_the_host_reaches_itself_and_others(walled: Host) -> None:
    """Loopback, its own address, and answers to what it asked for itself."""
    for address in ("127.0.0.1", "::1", address_of(walled)):
        found = answering(walled, address)
        assert found["udp"] == [8001, 8002, 8003], address
        assert set(range(8001, 8008)) <= set(found["tcp"]), address
    outbound = (
        f"import socket; socket.create_connection(('{address_of(connect('friend'))}', 8005), 2)"
    )
    walled.check_output("python3 -c %s", outbound)


def test_the_rules_are_saved(walled: Host) -> None:
    part = Registered(walled, "configuration-firewall")
    facts = part.assert_a_copy_is_good()
    assert facts["files"]["entries"]["/etc/lookout/firewall"]["kind"] == "link"
    part.forget()


def test_a_ping_is_answered(walled: Host) -> None:
    connect("stranger").check_output("python3 -c %s", PING.format(address=address_of(walled)))


def test_ipv6_neighbours_find_the_host(walled: Host) -> None:
    """Neighbour discovery comes in, or no IPv6 packet would."""
    shown = walled.check_output("ip -6 -oneline address show dev eth0 scope link")
    address = shown.split()[3].partition("/")[0]
    assert answering(connect("stranger"), f"{address}%eth0") == {"tcp": OPEN_TO_ALL, "udp": []}


def test_what_is_dropped_is_counted(walled: Host) -> None:
    before = metrics(walled)
    assert before["lookout_firewall_in_force"] == 1
    assert not reaches("stranger", address_of(walled), 8007)
    after = metrics(walled)
    assert (
        after["lookout_firewall_dropped_packets_total"]
        > before["lookout_firewall_dropped_packets_total"]
    )
    assert (
        after["lookout_firewall_dropped_bytes_total"]
        > before["lookout_firewall_dropped_bytes_total"]
    )


# --- what is refused ---


@pytest.mark.parametrize(
    ("opening", "messages"),
    [
        (
            {"name": "bad", "port": 70000, "sources": ["any", "montoring"]},
            [
                "bad: port must be a number from 1 to 65535, got 70000",
                "bad: the source 'montoring' is no group of the inventory, no IPv4 or IPv6 address "
                "or network, and not the word any. The groups are",
            ],
        ),
        ({"name": "bad", "port": 80}, ["bad: sources must be a list with at least one entry"]),
        (
            {"name": "bad", "port": 80, "protocol": "icmp", "sources": ["any"]},
            ["value of protocol must be one of: tcp, udp"],
        ),
    ],
)
def test_a_port_that_makes_no_sense_is_refused_before_anything_changes(
    opening: dict[str, object], messages: list[str]
) -> None:
    done = converge("trixie", declared=[opening])
    assert done.returncode != 0
    assert changed_tasks(done) == []
    for message in messages:
        assert message in said(done.stdout), done.stdout


def test_mistakes_in_the_inventory_are_all_named() -> None:
    done = converge(
        "trixie",
        firewall_extra_ports=[{"name": "a", "port": 0, "sources": ["nobody"]}],
        firewall_ssh_ports=[0],
        firewall_roll_back_seconds=5,
    )
    assert done.returncode != 0
    assert changed_tasks(done) == []
    for message in (
        "a: port must be",
        "a: the source 'nobody'",
        "firewall_ssh_ports: 0 is no port",
        "firewall_roll_back_seconds must be at least 10",
    ):
        assert message in said(done.stdout), message


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"register_address": "nowhere.invalid"},
            "does not resolve nowhere.invalid. Set register_address of that host to its address",
        ),
        (
            {"firewall_extra_rules": ["tcp dport nonsense accept"]},
            "nft refuses the new configuration",
        ),
    ],
)
def test_what_cannot_be_in_force_leaves_the_former_rules_there(
    walls: list[Host], variables: dict[str, Any], message: str
) -> None:
    before = [rules(host) for host in walls]
    done = converge(*WALLED, **variables)
    assert done.returncode != 0
    assert message in said(done.stdout), done.stdout
    assert [rules(host) for host in walls] == before
    assert all(in_force(host) for host in walls)


# --- what happens to it ---


def test_ports_and_rules_come_and_go_and_tables_of_others_stay(walls: list[Host]) -> None:
    for host in walls:
        host.check_output("nft add table ip other && nft add chain ip other c { counter\\; }")
    others = [host.check_output("nft --stateless list table ip other") for host in walls]
    more: dict[str, Any] = {
        "declared": [{"name": "shut", "port": 8006, "sources": ["any"]}],
        "firewall_extra_ports": [
            {"name": "more", "port": 8005, "protocol": "tcp", "sources": ["any"]}
        ],
        "firewall_extra_rules": ["tcp dport 8007 accept"],
    }
    before = [rules(host) for host in walls]
    done = converge(*WALLED, check_mode=True, **more)
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == [
        "register : Ensure the firewall knows the port",
        "firewall : Ensure the rule set is checked and in place",
    ]
    assert 'tcp dport 8005 accept comment "more"' in done.stdout
    assert [rules(host) for host in walls] == before

    done = converge(*WALLED, **more)
    assert done.returncode == 0, done.stdout
    for host in walls:
        found = answering(connect("stranger"), address_of(host))["tcp"]
        assert found == [*OPEN_TO_ALL, 8005, 8006, 8007]

    assert converge(*WALLED).returncode == 0
    assert [rules(host) for host in walls] == before
    for host, other in zip(walls, others, strict=True):
        assert answering(connect("stranger"), address_of(host))["tcp"] == OPEN_TO_ALL
        assert host.check_output("nft --stateless list table ip other") == other
        host.check_output("nft delete table ip other")


def test_what_somebody_did_by_hand_is_noticed_and_goes_with_the_next_run(
    walls: list[Host],
) -> None:
    before = [rules(host) for host in walls]
    walls[0].check_output("nft flush ruleset")
    walls[1].check_output("nft insert rule inet lookout input tcp dport 8007 accept")
    assert [metrics(host)["lookout_firewall_in_force"] for host in walls] == [0, 0]
    compare = ["firewall : Compare the rule set in force with the one on disk"]
    assert changed_tasks(converge(*WALLED, check_mode=True)) == compare
    done = converge(*WALLED)
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == TRIED
    assert [metrics(host)["lookout_firewall_in_force"] for host in walls] == [1, 1]
    assert [rules(host) for host in walls] == before


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_the_unit_brings_the_same_rules_again(walled: Host, verb: str) -> None:
    before = rules(walled)
    walled.check_output(f"systemctl {verb} {UNIT}")
    assert rules(walled) == before
    assert in_force(walled)


@pytest.mark.parametrize("unit", [UNIT, METRICS_UNIT])
def test_the_units_may_do_little_else(walled: Host, unit: str) -> None:
    shown = walled.check_output(f"systemd-analyze security --no-pager {unit}")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_the_minutely_look_leaves_no_words_in_the_journal(walled: Host) -> None:
    walled.check_output(f"systemctl start {METRICS_UNIT} && journalctl --sync")
    assert "Finished" not in walled.check_output(f"journalctl --no-pager --unit {METRICS_UNIT}")


def test_it_is_loaded_before_the_network_is_there(walled: Host) -> None:
    shown = walled.check_output(f"systemctl show --property=Before,After,WantedBy {UNIT}")
    order = dict(line.split("=", 1) for line in shown.splitlines())
    assert "network-pre.target" in order["Before"].split()
    assert "nftables.service" in order["After"].split()
    assert "sysinit.target" in order["WantedBy"].split()
    assert walled.check_output(f"systemctl is-enabled {UNIT}") == "enabled"
    assert wait_for(
        lambda: walled.run("systemctl is-active lookout-firewall-metrics.timer").rc == 0
    )
