"""Bugsink's projects: DSNs that every host works out alike, and what is wrong with an inventory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.filter import bugsink as b
from tools.bugsink_requirements import requirements

ROOT = Path(__file__).parents[2]
URL = "https://gw.example.com:8443/bugsink"
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,60}", fullmatch=True)


def test_a_dsn_is_what_an_sdk_takes() -> None:
    dsn = b.bugsink_dsn("watchdog", URL, "seed")
    assert re.fullmatch(r"https://[0-9a-f]{32}@gw\.example\.com:8443/bugsink/1547913080", dsn), (
        "the number of a project is for ever"
    )
    assert b.bugsink_dsn("watchdog", f"{URL}/", "seed") == dsn


def test_each_project_has_a_key_of_its_own_and_another_seed_another_one() -> None:
    dsns = b.bugsink_dsns(["watchdog", "health"], URL, "seed")
    assert list(dsns) == ["watchdog", "health"]
    assert b.bugsink_key("watchdog", "seed") != b.bugsink_key("health", "seed")
    assert b.bugsink_key("watchdog", "seed") != b.bugsink_key("watchdog", "other")


@given(NAMES)
def test_what_bugsink_is_told_is_what_the_dsn_says(name: str) -> None:
    (project,) = b.bugsink_projects([{"name": name}], "seed", "Lookout", 10)
    dsn = b.bugsink_dsn(name, URL, "seed")
    assert f"//{project['key']}@" in dsn
    assert dsn.endswith(f"/{project['id']}")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,50}", project["slug"])


def test_an_inventory_says_more_of_a_program_of_the_stack() -> None:
    declared = b.bugsink_declared([{"name": "health", "events": 5}], ["watchdog", "health"])
    made = b.bugsink_projects(declared, "seed", "Lookout", 10)
    assert [(p["name"], p["events"], p["team"]) for p in made] == [
        ("health", 5, "Lookout"),
        ("watchdog", 10, "Lookout"),
    ]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([{"name": "shop", "evnts": 5}], "shop: a project has no evnts; did you mean events?"),
        ([{"name": "shop", "zzz": 5}], "shop: a project has no zzz"),
        ([{"name": "a/b"}], "a project needs a name"),
        (["shop"], "a project needs a name"),
        ([{"name": "shop", "slug": "A B"}], "shop: slug must be"),
        ([{"name": "shop", "team": ""}], "shop: team must be"),
        ([{"name": "shop", "events": True}], "shop: events must be a whole number from 1 on"),
        ([{"name": "shop"}, {"name": "shop"}], "shop and shop have the same name shop"),
        ([{"name": "shop"}, {"name": "Shop"}], "shop and Shop have the same slug shop"),
    ],
)
def test_mistakes_are_named_with_their_place(declared: list[Any], said: str) -> None:
    (problem,) = b.bugsink_project_problems(declared, "bugsink_projects")
    assert problem.startswith("bugsink_projects: ")
    assert said in problem


def test_good_projects_and_numbers_and_passwords_pass() -> None:
    good = [{"name": "Web shop", "slug": "web", "team": "Web", "events": 1}, {"name": "x"}]
    assert b.bugsink_project_problems(good, "bugsink_projects") == []
    assert b.bugsink_number_problems({"days": 1}) == []
    assert b.bugsink_number_problems({"days": "1"}) == [
        "days must be a whole number from 1 on, got '1'"
    ]
    assert b.bugsink_password_problems({"password": "correct-horse"}) == []
    (problem,) = b.bugsink_password_problems({"password": "canary"})
    assert "canary" not in problem


# --- the pins ---


def report(version: str, digest: str) -> list[dict[str, Any]]:
    archive = {"archive_info": {"hashes": {"sha256": digest}}}
    about = {"name": "Some_Package", "version": version}
    return [{"metadata": about, "download_info": archive}]


def test_wheels_of_all_hosts_stand_under_one_version() -> None:
    made = requirements([report("1.0", "bb"), report("1.0", "aa"), report("1.0", "aa")])
    assert made == ("some-package==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n")
    with pytest.raises(ValueError, match=r"some-package: 1\.0 here, 1\.1 there"):
        requirements([report("1.0", "aa"), report("1.1", "bb")])


def test_every_package_is_pinned_with_its_hashes() -> None:
    lines = (ROOT / "roles/bugsink/files/requirements.txt").read_text().splitlines()
    pins = [line for line in lines if re.fullmatch(r"[a-z0-9.-]+==\S+ \\", line)]
    hashes = [line for line in lines if re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)]
    assert any(pin.startswith("bugsink==2.6.") for pin in pins)
    assert len(pins) + len(hashes) + 1 == len(lines)
