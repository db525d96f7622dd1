"""Mistakes in who may do what are named, and pg_hba.conf lets in whom the inventory names."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.filter.postgresql_access import (
    KEYS,
    FilterModule,
    postgresql_access_problems,
    postgresql_hba,
    postgresql_looked_up,
    postgresql_passfile,
    postgresql_role_flags,
    postgresql_sources,
)

GROUPS = {"application": ["app1", "app2"], "database": ["db1"]}
ROLE = {"name": "spots", "databases": ["spots"]}


def problems(**changes: Any) -> list[str]:
    """Of one database with its owner, and these variables in place of what they were."""
    asked: dict[str, Any] = {name: [] for name in KEYS} | {"postgresql_hba_lines": []}
    asked["postgresql_databases"] = [{"name": "spots", "owner": "spots"}]
    asked["postgresql_roles"] = [ROLE]
    return postgresql_access_problems(asked | changes, GROUPS)


def test_an_inventory_that_holds_together_has_no_problems() -> None:
    found = problems(
        postgresql_privileges=[
            {"role": "spots", "database": "spots", "objects": ["a"], "privileges": ["SELECT"]}
        ],
        postgresql_access=[
            {
                "databases": ["spots"],
                "roles": ["spots"],
                "sources": ["application", "192.0.2.0/24", "2001:db8::1", "local", "any"],
            }
        ],
        postgresql_peers=[{"user": "daemon", "role": "spots"}],
        postgresql_hba_lines=["hostssl all all 192.0.2.1/32 cert", "# a trust in comments"],
    )
    assert found == []


MISTAKES: dict[str, tuple[str, Any, str]] = {
    "no list": ("postgresql_roles", {}, "must be a list"),
    "no name": ("postgresql_roles", [{"databases": []}], "number 1 has no name"),
    "no mapping": ("postgresql_peers", ["daemon"], "number 1 has no user"),
    "odd name": ("postgresql_databases", [{"name": "My-Shop"}], "no plain name"),
    "twice": ("postgresql_roles", [ROLE, ROLE], "spots stands twice"),
    "unknown key": (
        "postgresql_roles",
        [{**ROLE, "pasword": "x"}],
        "there is no key pasword; did you mean password?",
    ),
    "template": ("postgresql_databases", [{"name": "template1"}], "own template"),
    "owner": ("postgresql_databases", [{"name": "spots", "owner": "spot"}], "no role spot;"),
    "extension": (
        "postgresql_databases",
        [{"name": "spots", "extensions": ["a; b"]}],
        "no name of an extension",
    ),
    "built-in role": ("postgresql_roles", [{**ROLE, "name": "postgres"}], "take another name"),
    "role without a database": ("postgresql_roles", [{"name": "spots"}], "has no database"),
    "attribute": (
        "postgresql_roles",
        [{**ROLE, "attributes": ["SUPERUSER"]}],
        "there is no attribute SUPERUSER",
    ),
    "group": ("postgresql_roles", [{**ROLE, "member_of": ["readers"]}], "no role readers"),
    "password": ("postgresql_roles", [{**ROLE, "password": "short"}], "8 characters or more"),
    "empty password": ("postgresql_roles", [{**ROLE, "password": ""}], "8 characters or more"),
    "privilege": (
        "postgresql_privileges",
        [{"role": "spots", "database": "spots", "objects": ["a"], "privileges": ["SELEKT"]}],
        "did you mean SELECT?",
    ),
    "privilege of another type": (
        "postgresql_privileges",
        [{"role": "spots", "database": "spots", "type": "database", "privileges": ["SELECT"]}],
        "there is no privilege SELECT",
    ),
    "no objects": (
        "postgresql_privileges",
        [{"role": "spots", "database": "spots", "privileges": ["SELECT"]}],
        "names no objects",
    ),
    "no privileges": (
        "postgresql_privileges",
        [{"role": "spots", "database": "spots", "objects": ["a"]}],
        "grants nothing",
    ),
    "no source": (
        "postgresql_access",
        [{"databases": ["spots"], "roles": ["spots"]}],
        "there is no source None",
    ),
    "source": (
        "postgresql_access",
        [{"databases": ["spots"], "roles": ["spots"], "sources": ["aplication"]}],
        "did you mean application?",
    ),
    "network with host bits": (
        "postgresql_access",
        [{"databases": ["spots"], "roles": ["spots"], "sources": ["192.0.2.1/24"]}],
        "there is no source 192.0.2.1/24",
    ),
    "peer": ("postgresql_peers", [{"user": "daemon", "role": "x"}], "there is no role x"),
    "trust": ("postgresql_hba_lines", ["local all all trust"], "only TLS"),
    "without TLS": ("postgresql_hba_lines", ["host all all all scram-sha-256"], "only TLS"),
    "included file": ("postgresql_hba_lines", ["include other.conf"], "only TLS"),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_mistake_is_named_with_its_variable(mistake: str) -> None:
    variable, value, said = MISTAKES[mistake]
    found = problems(**{variable: value})
    assert any(said in problem and problem.startswith(variable) for problem in found), found


def test_all_mistakes_are_named_at_once() -> None:
    found = problems(
        postgresql_roles=[{"name": "spots"}], postgresql_hba_lines=["local all all trust"]
    )
    assert len(found) == 2


def hba(*sources: str, databases: tuple[str, ...] = ("spots",)) -> list[str]:
    entry = {"databases": list(databases), "roles": ["spots"], "sources": list(sources)}
    looked_up = {"app2": ["198.51.100.2", "fe80::1%eth0"], "db1": ["203.0.113.9"]}
    return postgresql_hba([entry], GROUPS, {"app1": "192.0.2.1"}, looked_up, "db1")


def test_a_group_is_its_hosts_addresses() -> None:
    assert hba("application") == [
        'hostssl "spots" "spots" 192.0.2.1/32 scram-sha-256',
        'hostssl "spots" "spots" 198.51.100.2/32 scram-sha-256',
        'hostssl "spots" "spots" fe80::1/128 scram-sha-256',
    ]


def test_a_host_reaches_itself_on_loopback() -> None:
    assert [line.split()[3] for line in hba("database")] == [
        "203.0.113.9/32",
        "127.0.0.1/32",
        "::1/128",
    ]


def test_everything_but_the_socket_is_tls() -> None:
    assert hba("local") == ['local "spots" "spots" scram-sha-256']
    assert {line.split()[0] for line in hba("any", "192.0.2.0/24")} == {"hostssl"}


def test_names_are_quoted_but_for_the_connections_of_standbys() -> None:
    assert hba("192.0.2.1", databases=("all", "replication")) == [
        'hostssl "all",replication "spots" 192.0.2.1/32 scram-sha-256'
    ]


def test_a_line_stands_once() -> None:
    assert len(hba("192.0.2.7", "192.0.2.7/32")) == 1


def test_what_is_no_address_is_looked_up() -> None:
    access = [{"sources": ["application", "192.0.2.0/24", "local"]}]
    assert postgresql_sources(access, GROUPS, {"app1": "192.0.2.1", "app2": ""}) == ["app2"]
    answers = [
        {"item": "app2", "stdout": "192.0.2.2 STREAM app2\n192.0.2.2 DGRAM\n"},
        {"item": "gone", "stdout": ""},
    ]
    assert postgresql_looked_up(answers) == {"app2": ["192.0.2.2"], "gone": []}


def test_an_attribute_that_is_named_no_longer_is_taken_away() -> None:
    assert postgresql_role_flags([]) == (
        "NOCREATEDB,NOCREATEROLE,INHERIT,LOGIN,NOREPLICATION,NOSUPERUSER"
    )
    assert postgresql_role_flags(["CREATEDB", "NOLOGIN"]) == (
        "CREATEDB,NOCREATEROLE,INHERIT,NOLOGIN,NOREPLICATION,NOSUPERUSER"
    )


def test_the_filters_are_found() -> None:
    assert set(FilterModule().filters()) == {
        "postgresql_access_problems",
        "postgresql_sources",
        "postgresql_looked_up",
        "postgresql_hba",
        "postgresql_role_flags",
        "postgresql_passfile",
    }


def test_a_password_file_escapes_what_parts_its_fields() -> None:
    assert postgresql_passfile("a", "b:c\\d") == "*:*:*:a:b\\:c\\\\d\n"
