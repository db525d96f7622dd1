"""The table of `playbooks/verify.yml` leaves nothing out."""

from __future__ import annotations

from typing import Any

from plugins.filter.report import FilterModule

filters = FilterModule().filters()
verify_rows, verify_table = filters["verify_rows"], filters["verify_table"]


def row(name: str, ok: bool = True, detail: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail}


HOSTVARS = {
    "mon": {
        "base_verified": {"rows": [row("clock", False, "off by 3 s"), row("journal")]},
        "prometheus_verified": {"changed": False, "rows": [row("ready")]},
        "prometheus_port": 1,
    },
    "web": {"inventory_hostname": "web"},
    "db": {"base_verified": {"failed": True, "msg": "module crashed"}},
}


def test_rows_of_all_roles_and_hosts() -> None:
    assert verify_rows(HOSTVARS, ["mon"]) == [
        {"host": "mon", "role": "base", **row("clock", False, "off by 3 s")},
        {"host": "mon", "role": "base", **row("journal")},
        {"host": "mon", "role": "prometheus", **row("ready")},
    ]


def test_silent_host_is_a_failed_row() -> None:
    (silent,) = verify_rows(HOSTVARS, ["web"])
    assert (silent["host"], silent["ok"]) == ("web", False)


def test_role_whose_checks_did_not_end_is_a_failed_row() -> None:
    (crashed,) = verify_rows(HOSTVARS, ["db"])
    assert (crashed["role"], crashed["ok"], crashed["detail"]) == ("base", False, "module crashed")


def test_table_shows_what_failed_last_and_counts() -> None:
    assert verify_table(verify_rows(HOSTVARS, ["mon", "web"])).splitlines() == [
        "ok      mon  base        journal",
        "ok      mon  prometheus  ready",
        "FAILED  mon  base        clock             off by 3 s",
        "FAILED  web  -           the host answers  no answer",
        "2 of 4 checks hold",
    ]


def test_table_of_nothing() -> None:
    assert verify_table([]) == "0 of 0 checks hold"
