"""Roles, databases and pg_hba.conf: each fault is flagged, and its absence is not."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.filter.audit_postgresql import FilterModule

audit = FilterModule().filters()["audit_postgresql"]

ASKED: dict[str, list[dict[str, Any]]] = {
    "roles": [
        {"name": "spots", "databases": ["spots"], "password": "canary-4711"},
        {"name": "keeper", "connection_limit": 3, "attributes": ["CREATEDB"], "member_of": ["all"]},
        {"name": "all", "attributes": ["NOLOGIN"], "databases": ["spots"]},
    ],
    "databases": [{"name": "spots", "owner": "spots"}, {"name": "private", "owner": "keeper"}],
    "privileges": [],
}
OWN = [{"name": "postgres", "attributes": ["SUPERUSER"], "any_database": True}]
LINE = {"line": 3, "users": ["spots"], "databases": ["spots"], "address": "", "error": None}


def role(name: str, **about: Any) -> dict[str, Any]:
    flags = dict.fromkeys(
        ("superuser", "createdb", "createrole", "replication", "bypassrls"), False
    )
    return {
        "name": name,
        "login": True,
        **flags,
        "connection_limit": -1,
        "until": None,
        "password": "scram",
        "member_of": [],
        "databases": ["postgres"],
        **about,
    }


KEEPER = role(
    "keeper",
    createdb=True,
    connection_limit=3,
    member_of=["all"],
    databases=["postgres", "private", "spots"],
)


def rows(
    roles: list[dict[str, Any]] | None = None,
    databases: list[dict[str, Any]] | None = None,
    hba: list[dict[str, Any]] | None = None,
    asked: dict[str, list[dict[str, Any]]] = ASKED,
) -> list[dict[str, Any]]:
    found = {"roles": roles or [], "databases": databases or [], "hba": hba}
    made: list[dict[str, Any]] = audit(found, asked, OWN)
    assert "canary" not in str(made)
    return made


def flagged(found: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in found if row.get("finding")]


def test_what_is_declared_is_shown_and_not_flagged() -> None:
    found = rows(
        [
            role("postgres", superuser=True, password="none", databases=["private", "spots"]),
            role("spots", databases=["postgres", "spots"], until="2027-01-01"),
            KEEPER,
            role("all", login=False, password="none", databases=["spots"]),
        ]
    )
    assert [(row["name"], row["may"]) for row in found] == [
        ("postgres", "signs in, superuser; connects to every database"),
        ("spots", "signs in with a password; connects to postgres, spots"),
        (
            "keeper",
            "signs in with a password, createdb, in all, at most 3 connections; connects to "
            "postgres, private, spots",
        ),
        ("all", "is a group"),
    ]
    assert flagged(found) == []
    assert found[1]["until"] == "2027-01-01"


def test_role_that_is_not_declared_is_flagged() -> None:
    (row,) = rows([role("rogue", superuser=True)])
    assert row["declared"] is False
    assert "drop role rogue" in row["finding"]


@pytest.mark.parametrize(
    ("wider", "words"),
    [
        ({"superuser": True}, "superuser"),
        ({"createrole": True}, "createrole"),
        ({"replication": True}, "replication"),
        ({"bypassrls": True}, "bypassrls"),
        ({"member_of": ["pg_monitor"]}, "member of pg_monitor"),
        ({"databases": ["private", "spots"]}, "connects to private"),
    ],
)
def test_role_that_may_more_than_declared_is_flagged(wider: dict[str, Any], words: str) -> None:
    (row,) = rows([role("spots", **wider)])
    assert row["declared"] is True
    assert f"more than the inventory says: {words}." in row["finding"]


@pytest.mark.parametrize("limit", [-1, 4])
def test_role_with_more_connections_than_declared_is_flagged(limit: int) -> None:
    (row,) = rows([{**KEEPER, "connection_limit": limit}])
    assert "more connections" in row["finding"]
    assert flagged(rows([{**KEEPER, "connection_limit": 2}])) == []


def test_group_that_signs_in_is_flagged() -> None:
    assert flagged(rows([role("all", login=True)])) == ["all"]


def test_connect_that_is_granted_in_the_inventory_is_declared() -> None:
    granted = [
        {"role": "spots", "database": "private", "type": "database", "privileges": ["CONNECT"]},
        {"role": "spots", "database": "private", "privileges": ["SELECT"]},
    ]
    there = [role("spots", databases=["private", "spots"])]
    assert flagged(rows(there, asked={**ASKED, "privileges": granted})) == []
    assert flagged(rows(there, asked={**ASKED, "privileges": granted[1:]})) == ["spots"]


def test_password_kept_as_md5_is_flagged() -> None:
    (row,) = rows([role("spots", password="md5")])
    assert "md5" in row["finding"]


def database(name: str, owner: str = "spots", public: bool = False) -> dict[str, Any]:
    return {"name": name, "owner": owner, "public": public}


def test_database_that_is_not_declared_or_open_to_all_is_flagged() -> None:
    found = rows(databases=[database("spots"), database("postgres", "postgres", public=True)])
    assert flagged(found) == []
    assert flagged(rows(databases=[database("left")])) == ["left"]
    (row,) = rows(databases=[database("spots", public=True)])
    assert "revoke connect on database spots from public" in row["finding"]
    # Which is one finding, and not one of every role.
    there = role("all", login=False, databases=["private"])
    both = rows([there], [database("private", "keeper", public=True)])
    assert flagged(both) == ["private"]


def test_database_of_another_owner_is_flagged() -> None:
    (row,) = rows(databases=[database("private", "spots")])
    assert "belongs to spots" in row["finding"]
    assert "keeper" in row["finding"]


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("hostssl", "scram-sha-256", ""),
        ("local", "peer", ""),
        ("hostnossl", "reject", ""),
        ("local", "trust", "whoever they say"),
        ("hostssl", "md5", "no proof"),
        ("host", "scram-sha-256", "without TLS"),
        ("hostnossl", "trust", "without TLS"),
    ],
)
def test_lines_of_pg_hba_are_counted_by_method(kind: str, method: str, words: str) -> None:
    lines = [{**LINE, "type": kind, "method": method}, {**LINE, "type": kind, "method": method}]
    found = rows(hba=lines)
    assert [row["may"] for row in found] == ([] if method == "reject" else ["2 lines for spots"])
    assert flagged(found) == ([f"{kind} {method}"] if words else [])
    assert all(words in row["finding"] for row in found)


def test_line_that_is_wrong_is_flagged() -> None:
    line = {"line": 9, "type": None, "method": None, "users": None, "error": "invalid"}
    assert flagged(rows(hba=[line])) == ["line 9"]
