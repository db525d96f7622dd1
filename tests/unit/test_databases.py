"""A service's own database: on which host it is, and what the inventory lacks for it."""

from __future__ import annotations

from plugins.filter.databases import database_host, database_problems

DECLARED = {
    "postgresql_databases": [{"name": "shop", "owner": "shop"}],
    "postgresql_roles": [{"name": "shop", "databases": ["shop"], "password": "x"}],
    "postgresql_access": [{"databases": ["shop"], "roles": ["shop"], "sources": ["shops"]}],
}


def test_the_host_that_takes_the_writes_is_found() -> None:
    hosts = {"db1": DECLARED, "db2": DECLARED}
    assert database_host(["db1", "db2"], hosts, "shop") == "db1"
    handed_over = {name: {**DECLARED, "postgresql_primary": "db2"} for name in hosts}
    assert database_host(["db1", "db2"], handed_over, "shop") == "db2"
    assert database_host(["db1"], {"db1": {}}, "shop") == ""
    assert database_host([], {}, "shop") == ""


def test_what_the_database_host_lacks_is_said_as_lines_to_add() -> None:
    assert database_problems(DECLARED, "shop", "shop", "shops", "postgresql_shop") == []
    lacking = {"postgresql_databases": DECLARED["postgresql_databases"]}
    role, access = database_problems(lacking, "shop", "shop", "shops", "postgresql_shop")
    assert 'postgresql_roles: {name: shop, databases: [shop], password: "{{ lookup(' in role
    assert "'postgresql_shop'" in role
    assert "postgresql_access: {databases: [shop], roles: [shop], sources: [shops]}" in access
