"""The report of `playbooks/audit.yml` leaves nothing out, and its two forms agree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugins.filter.audit import KEYS, FilterModule

filters = FilterModule().filters()
audit_rows, audit_text, audit_json = (
    filters[name] for name in ("audit_rows", "audit_text", "audit_json")
)

TODAY = "2026-11-25"
PARTS = [{"role": "base", "group": "all"}, {"role": "nginx", "group": "gateway"}]
GROUPS = {"all": ["mon", "web"], "gateway": ["mon"]}


def part(**row: Any) -> dict[str, Any]:
    return {"rows": [{"kind": "user", "name": "alice", "may": "sign in", **row}]}


def rows(hostvars: dict[str, Any], *hosts: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = audit_rows(hostvars, hosts, PARTS, GROUPS, TODAY)
    return found


def finding(**row: Any) -> str:
    (only,) = rows({"web": {"base_audited": part(**row)}}, "web")
    return str(only["finding"])


def test_rows_are_complete_and_hold_nothing_else() -> None:
    (row,) = rows({"web": {"base_audited": part(canary="4711", renew="x")}}, "web")
    assert row == {
        "host": "web",
        "role": "base",
        "kind": "user",
        "name": "alice",
        "may": "sign in",
        "since": "",
        "until": "",
        "declared": None,
        "finding": "",
    }
    assert tuple(row) == KEYS


def test_parts_come_in_order_where_they_belong() -> None:
    hostvars = {
        "mon": {"nginx_audited": part(), "base_audited": part(), "audited": 1},
        "web": {"base_audited": part()},
    }
    found = [(row["host"], row["role"]) for row in rows(hostvars, "mon", "web")]
    assert found == [("mon", "base"), ("mon", "nginx"), ("web", "base")]


def test_silent_host_is_a_row_that_needs_a_look() -> None:
    (row,) = rows({"mon": {"inventory_hostname": "mon"}}, "mon")
    assert (row["kind"], row["name"], row["role"]) == ("host", "mon", "-")
    assert "does not answer" in row["finding"]


@pytest.mark.parametrize(
    ("result", "why"), [({"msg": "Ask it: refused"}, "refused"), (None, "did not run")]
)
def test_part_that_was_not_read_is_a_row_that_needs_a_look(result: Any, why: str) -> None:
    first, second = rows({"mon": {"base_audited": part(), "nginx_audited": result}}, "mon")
    assert first["finding"] == ""
    assert (second["role"], second["kind"]) == ("nginx", "part")
    assert why in second["finding"]


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("", ""),
        ("2026-12-15", ""),
        ("2026-12-14", "It ends on 2026-12-14. Make another."),
        ("2026-11-25", "It ends on 2026-11-25. Make another."),
        ("2026-11-24T23:59:59Z", "It ended on 2026-11-24. Make another."),
    ],
)
def test_what_ends_soon_needs_a_look(until: str, said: str) -> None:
    assert finding(until=until, renew="Make another.") == said


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ("2025-11-25T10:00:00Z", ""),
        ("2025-11-24", "It is 366 days old. Make another."),
        ("", ""),
    ],
)
def test_what_is_too_old_needs_a_look(since: str, said: str) -> None:
    assert finding(since=since, oldest_days=365, renew="Make another.") == said
    assert finding(since=since) == ""


def test_findings_of_a_role_and_of_dates_stand_together() -> None:
    said = finding(finding="It is wide.", until="2026-11-01", renew="Make another.")
    assert said == "It is wide. It ended on 2026-11-01. Make another."


HOSTVARS = {
    "mon": {
        "base_audited": part(since="2026-01-02", declared=True),
        "nginx_audited": part(name="mallory", declared=False, finding="Nobody knows mallory."),
    },
    "web": {"base_audited": part(until="2027-01-01")},
}


def test_text_shows_hosts_rows_and_then_findings() -> None:
    found = rows(HOSTVARS, "mon", "web")
    assert audit_text(found, TODAY).splitlines() == [
        "Who may do what, 2026-11-25",
        "",
        "mon",
        "  base   user  alice    sign in  since 2026-01-02  declared",
        "! nginx  user  mallory  sign in                    NOT DECLARED",
        "",
        "web",
        "  base   user  alice    sign in  until 2027-01-01",
        "",
        "1 of 3 rows need a look:",
        "  mon, nginx, user mallory:",
        "      Nobody knows mallory.",
    ]


def test_json_agrees_with_the_text() -> None:
    found = rows(HOSTVARS, "mon", "web")
    report = json.loads(audit_json(found, TODAY))
    assert report == {"date": TODAY, "findings": 1, "rows": found}
    text = audit_text(found, TODAY)
    for row in report["rows"]:
        assert row["name"] in text
        assert row["finding"] in text


def test_report_of_nothing() -> None:
    assert audit_text([], TODAY).splitlines()[-1] == "0 of 0 rows need a look"
    assert json.loads(audit_json([], TODAY))["rows"] == []
