"""A mistake in an inventory is named with its fix, all of them at once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.filter.inventory import FilterModule

inventory_problems = FilterModule().filters()["inventory_problems"]

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ["monitoring", "database", "gateway", "application"]


def problems(groups: dict[str, list[str]], addresses: dict[str, str] | None = None) -> list[str]:
    hosts = sorted({host for members in groups.values() for host in members})
    found: list[str] = inventory_problems(
        {"all": hosts, "ungrouped": [], **groups}, KNOWN, addresses or dict.fromkeys(hosts, "")
    )
    return found


def test_whole_inventory_has_none() -> None:
    addresses = {"mon.example.com": "mon.example.com", "db-1": "192.0.2.1", "n0": ""}
    assert (
        problems({"monitoring": ["mon.example.com"], "database": ["db-1", "n0"]}, addresses) == []
    )


@pytest.mark.parametrize(
    ("group", "hint"),
    [("monitorin", "did you mean monitoring?"), ("databases", "did you mean database?")],
)
def test_mistyped_group_is_named_with_the_right_one(group: str, hint: str) -> None:
    (problem,) = problems({"monitoring": ["mon"], group: ["a"]})
    assert problem.startswith(f"Unknown group {group}: {hint}")
    assert "preflight_own_groups" in problem


def test_group_like_no_other_gets_no_hint() -> None:
    (problem,) = problems({"monitoring": ["mon"], "zzz": ["a"]})
    assert "did you mean" not in problem


@pytest.mark.parametrize("groups", [{"database": ["a"]}, {"monitoring": [], "database": ["a"]}])
def test_site_without_monitoring_host(groups: dict[str, list[str]]) -> None:
    (problem,) = problems(groups)
    assert "No host in the group monitoring" in problem


@pytest.mark.parametrize(
    "name", ["a_b", "-a", "a-", "a b", "a/b", "../a", "a\n", ".", "", "a:1", "ä"]
)
def test_host_name_that_is_no_file_or_certificate_name(name: str) -> None:
    (problem,) = problems({"monitoring": [name]})
    assert problem.startswith(f"Host name {name!r}: use letters")


def test_same_address_twice_names_both_hosts() -> None:
    addresses = {"b": "192.0.2.1", "a": "192.0.2.1", "c": "192.0.2.2", "d": "", "e": ""}
    (problem,) = problems({"monitoring": list("abcde")}, addresses)
    assert problem.startswith("a and b have the same register_address 192.0.2.1")


def test_all_mistakes_are_named_at_once() -> None:
    addresses = {"a_b": "1", "c": "1"}
    assert len(problems({"other": ["a_b", "c"]}, addresses)) == 4


@given(st.text(alphabet="aZ0.-_ /\n", max_size=8))
def test_accepted_names_are_safe_as_file_names_and_patterns(name: str) -> None:
    if not problems({"monitoring": [name]}):
        assert re.fullmatch(r"[A-Za-z0-9.-]+", name)
        assert name[0] not in ".-"
        assert name[-1] not in ".-"


def test_a_host_that_stands_twice_in_a_file_ends_the_run(tmp_path: Path) -> None:
    """Ansible itself would take the last one of the two, with a warning at most."""
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("monitoring:\n  hosts:\n    a: {}\n    b: {}\n    a: {}\n", "utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", str(hosts), "site.yml", "--list-hosts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Found duplicate mapping key 'a'" in done.stderr
    assert "hosts.yml:5" in done.stderr
