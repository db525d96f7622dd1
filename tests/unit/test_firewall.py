"""What a declared port becomes in the rule set, and which ones are refused."""

from __future__ import annotations

import importlib.util
import ipaddress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st


def load() -> ModuleType:
    path = Path(__file__).parents[2] / "plugins/filter/firewall.py"
    spec = importlib.util.spec_from_file_location("firewall", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


firewall = load()
GROUPS = {"all": ["app", "mon1", "mon2"], "monitoring": ["mon1", "mon2"]}


def opening(**changes: Any) -> dict[str, Any]:
    return {"name": "shop", "port": 8000, "protocol": "tcp", "sources": ["any"], **changes}


# --- what is refused ---


@pytest.mark.parametrize(
    "good",
    [
        opening(),
        opening(protocol="udp"),
        opening(sources=["monitoring"]),
        opening(sources=["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32"]),
        {"name": "shop", "port": 1, "sources": ["any"]},
    ],
)
def test_a_port_that_makes_sense_has_no_problem(good: dict[str, Any]) -> None:
    assert firewall.firewall_problems([good], GROUPS) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (opening(port=0), "port must be a number from 1 to 65535, got 0"),
        (opening(port=65536), "got 65536"),
        (opening(port="80"), "got '80'"),
        (opening(port=True), "got True"),
        (opening(protocol="icmp"), "protocol must be tcp or udp, got 'icmp'"),
        (opening(sources=[]), "sources must be a list with at least one entry"),
        (opening(sources="any"), "sources must be a list"),
        (opening(sources=["montoring"]), "The groups are all, gateway, monitoring"),
        (opening(sources=["192.0.2.0/33"]), "'192.0.2.0/33' is no group"),
        (opening(name="a b"), "needs a name of letters"),
        (opening(name="../x"), "needs a name of letters"),
        ({"port": 80, "sources": ["any"]}, "got None"),
        ("80", "is a mapping of name, port, protocol and sources, got '80'"),
    ],
)
def test_a_mistake_is_named(bad: Any, words: str) -> None:
    (problem,) = firewall.firewall_problems([bad], GROUPS, ["gateway"])
    assert words in problem


def test_all_mistakes_are_named_at_once() -> None:
    bad = opening(port=0, protocol="x", sources=["y", "z"])
    assert len(firewall.firewall_problems([bad, "80"], GROUPS)) == 5


def test_a_group_that_a_site_need_not_have_is_no_mistake() -> None:
    wanted = [opening(sources=["gateway"])]
    assert firewall.firewall_problems(wanted, GROUPS, ["gateway"]) == []
    assert firewall.firewall_rules(wanted, GROUPS, {}) == []


# --- who is meant ---


def test_hosts_are_those_of_the_groups_without_the_host_itself() -> None:
    wanted = [opening(sources=["monitoring", "192.0.2.1", "any"])]
    assert firewall.firewall_hosts(wanted, GROUPS, "mon1") == ["mon2"]
    assert firewall.firewall_hosts([opening()], GROUPS, "mon1") == []


def test_a_host_is_known_by_its_register_address_or_its_name() -> None:
    hostvars = {"mon1": {"register_address": "192.0.2.1"}, "mon2": {}}
    assert firewall.firewall_named(["mon1", "mon2"], hostvars) == {
        "mon1": "192.0.2.1",
        "mon2": "mon2",
    }


def test_names_are_resolved_and_facts_are_the_last_resort() -> None:
    hostvars = {
        "mon1": {"ansible_facts": {"default_ipv4": {"address": "192.0.2.99"}}},
        "mon2": {"ansible_facts": {"default_ipv4": {"address": "192.0.2.2"}}},
        "mon3": {"ansible_facts": {"default_ipv4": {}}},
        "mon4": {},
    }
    named = {"mon1": "mon1.lan", "mon2": "mon2", "mon3": "mon3", "mon4": "2001:db8::4"}
    resolved = (
        "mon1.lan 192.0.2.1\nmon1.lan 192.0.2.1\nmon1.lan 2001:db8::1\nmon1.lan fe80::1%eth0\n"
        "mon2 127.0.1.1"
    )
    assert firewall.firewall_addresses(named, resolved, hostvars) == {
        "mon1": ["192.0.2.1", "2001:db8::1"],
        "mon2": ["192.0.2.2"],
        "mon3": [],
        "mon4": ["2001:db8::4"],
    }


# --- what it becomes ---


def test_any_needs_no_address() -> None:
    assert firewall.firewall_rules([opening(sources=["any", "192.0.2.1"])], GROUPS, {}) == [
        'tcp dport 8000 accept comment "shop"'
    ]


def test_sources_are_split_by_family() -> None:
    wanted = [opening(sources=["monitoring", "192.0.2.64/28"])]
    addresses = {"mon1": ["192.0.2.1", "2001:db8::1"], "mon2": ["192.0.2.70"]}
    assert firewall.firewall_rules(wanted, GROUPS, addresses) == [
        'ip saddr { 192.0.2.1, 192.0.2.64/28 } tcp dport 8000 accept comment "shop"',
        'ip6 saddr { 2001:db8::1 } tcp dport 8000 accept comment "shop"',
    ]


def test_rules_are_in_the_order_of_ports_whatever_the_order_of_files() -> None:
    one, two = opening(name="b", port=90), opening(name="a", port=100)
    assert firewall.firewall_rules([two, one], GROUPS, {}) == firewall.firewall_rules(
        [one, two], GROUPS, {}
    )


v4 = st.builds(
    lambda address, bits: f"{ipaddress.IPv4Address(address)}/{bits}",
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


@given(st.lists(v4, min_size=1, max_size=8))
def test_networks_never_overlap_and_cover_what_was_named(sources: list[str]) -> None:
    named = [ipaddress.IPv4Network(source, strict=False) for source in sources]
    found = [ipaddress.IPv4Network(one) for one in firewall.collapsed(named, 4)]
    for index, one in enumerate(found):
        assert not any(one.overlaps(other) for other in found[index + 1 :])
    assert all(any(one.subnet_of(other) for other in found) for one in named)
    assert list(ipaddress.collapse_addresses([*named, *found])) == found
