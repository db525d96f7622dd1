"""A service's own database, where the inventory declares one on a database host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def database_host(hosts: Sequence[str], hostvars: Mapping[str, Any], name: str) -> str:
    """The database host that takes the writes, where the inventory declares a database `name`."""
    for host in hosts:
        declared = hostvars[host].get("postgresql_databases") or []
        if any(database.get("name") == name for database in declared):
            return str(hostvars[host].get("postgresql_primary", hosts[0]))
    return ""


def database_problems(
    declared: Mapping[str, Any], name: str, user: str, group: str, secret: str
) -> list[str]:
    """What the inventory of a database host (`postgresql_…`) lacks for the database of a service.

    `group` is the inventory group of the service's hosts, `secret` the name of its password.
    """
    lacking = []
    roles = declared.get("postgresql_roles") or []
    if not any(r.get("name") == user and name in (r.get("databases") or []) for r in roles):
        lacking.append(
            f"postgresql_roles: {{name: {user}, databases: [{name}], password: "
            f"\"{{{{ lookup('secret', '{secret}') }}}}\"}}"
        )
    access = declared.get("postgresql_access") or []
    if not any(name in a.get("databases", []) and user in a.get("roles", []) for a in access):
        lacking.append(
            f"postgresql_access: {{databases: [{name}], roles: [{user}], sources: [{group}]}}"
        )
    return [
        f"A database {name} is declared for the group {group}; add to {line}" for line in lacking
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"database_host": database_host, "database_problems": database_problems}
