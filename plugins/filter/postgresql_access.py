"""Who may do what in PostgreSQL: what is wrong with it in the inventory, and its pg_hba.conf."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]

# Unquoted names, so that what people type in psql is what stands here
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PASSWORD = re.compile(r"[\x20-\x7e]{8,}")
# Roles that PostgreSQL and this repository bring
_BUILT_IN = re.compile(r"pg_[a-z_]+|postgres|grafana_reader|lookout_[a-z_]+")

# Privileges by type of object (PostgreSQL's manual, table 5.2)
_OF_TABLES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
PRIVILEGES: dict[str, tuple[str, ...]] = {
    "database": ("CONNECT", "CREATE", "TEMPORARY"),
    "schema": ("USAGE", "CREATE"),
    "table": _OF_TABLES,
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
    "default_privs": (*_OF_TABLES, "USAGE", "EXECUTE", "CREATE"),
}
KEYS: dict[str, tuple[str, ...]] = {
    "postgresql_databases": ("name", "owner", "extensions", "migrations", "grafana_reader"),
    "postgresql_roles": (
        *("name", "databases", "password", "member_of", "attributes"),
        *("connection_limit", "settings"),
    ),
    "postgresql_privileges": (
        *("role", "database", "type", "schema", "objects", "privileges", "target_roles"),
    ),
    "postgresql_access": ("databases", "roles", "sources"),
    "postgresql_peers": ("user", "role"),
}
ATTRIBUTES = ("CREATEDB", "CREATEROLE", "NOLOGIN", "NOINHERIT", "REPLICATION")
LOCAL, ANY = "local", "any"
# What a line of the operator's own may not say, whatever it is about
_OPEN = re.compile(r"\b(trust|password|md5|ident)\b|^\s*host(nossl|gssenc)?\s|\binclude")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _known(where: str, what: str, name: Any, known: Iterable[str]) -> list[str]:
    names = sorted(set(known))
    if name in names:
        return []
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
    return [f"{where}: there is no {what} {name}; {hint}"]


def _shape(variable: str, entries: Any) -> list[str]:
    """Entries that are no mappings, lack a name, have an unknown key, or stand twice."""
    key = KEYS[variable][0]
    if not isinstance(entries, list):
        return [f"{variable} must be a list"]
    problems, seen = [], set()
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping) or not entry.get(key):
            problems.append(f"{variable}: number {number} has no {key}")
            continue
        where = f"{variable}: {entry[key] if key == 'name' else f'number {number}'}"
        for unknown in sorted(set(entry) - set(KEYS[variable])):
            problems += _known(where, "key", unknown, KEYS[variable])
        if key == "name":
            if not _NAME.fullmatch(str(entry["name"])):
                problems.append(f"{where} is no plain name (a-z, 0-9, _, at most 63 of them)")
            if entry["name"] in seen:
                problems.append(f"{where} stands twice")
            seen.add(entry["name"])
    return problems


def _of_databases(databases: Sequence[Entry], roles: set[str]) -> list[str]:
    problems = []
    for database in databases:
        where = f"postgresql_databases: {database['name']}"
        if database["name"] in ("template0", "template1"):
            problems.append(f"{where} is PostgreSQL's own template")
        problems += _known(where, "role", database.get("owner", "postgres"), roles | {"postgres"})
        problems += [
            f"{where}: {name!r} is no name of an extension"
            for name in _list(database.get("extensions", []))
            if not re.fullmatch(r"[a-z][a-z0-9_-]*", str(name))
        ]
    return problems


def _of_roles(roles: Sequence[Entry], databases: set[str], names: set[str]) -> list[str]:
    problems = []
    for role in roles:
        where = f"postgresql_roles: {role['name']}"
        attributes = _list(role.get("attributes", []))
        if _BUILT_IN.fullmatch(str(role["name"])):
            problems.append(f"{where} is PostgreSQL's or Lookout's own, take another name")
        for attribute in attributes:
            problems += _known(where, "attribute", attribute, ATTRIBUTES)
        wanted = _list(role.get("databases") or [])
        if not wanted and not {"NOLOGIN", "REPLICATION"} & set(attributes):
            problems.append(
                f"{where} has no database: name those that it may connect to, databases: [...], or "
                "make it a group, attributes: [NOLOGIN]"
            )
        for database in wanted:
            problems += _known(where, "database", database, databases)
        for group in _list(role.get("member_of", [])):
            if not str(group).startswith("pg_"):
                problems += _known(where, "role", group, names)
        if "password" in role and not _PASSWORD.fullmatch(str(role["password"] or "")):
            problems.append(f"{where}: its password needs 8 characters or more, printable ASCII")
    return problems


def _of_privileges(entries: Sequence[Entry], databases: set[str], roles: set[str]) -> list[str]:
    problems = []
    for number, entry in enumerate(entries, 1):
        where = f"postgresql_privileges: number {number}"
        problems += _known(where, "role", entry["role"], roles | {"PUBLIC"})
        problems += _known(where, "database", entry.get("database"), databases)
        kind = entry.get("type", "table")
        problems += _known(where, "type", kind, PRIVILEGES)
        if kind in PRIVILEGES:
            wanted = _list(entry.get("privileges") or [])
            if not wanted:
                problems.append(f"{where} grants nothing: privileges: [...] is missing")
            for privilege in wanted:
                problems += _known(
                    f"{where} ({kind})", "privilege", privilege, (*PRIVILEGES[kind], "ALL")
                )
            if kind != "database" and not _list(entry.get("objects") or []):
                problems.append(f"{where} names no objects: objects: [...] is missing")
    return problems


def is_network(text: Any) -> bool:
    try:
        ipaddress.ip_network(str(text))
    except ValueError:
        return False
    return True


def _of_access(
    entries: Sequence[Entry], databases: set[str], roles: set[str], groups: Iterable[str]
) -> list[str]:
    problems = []
    for number, entry in enumerate(entries, 1):
        where = f"postgresql_access: number {number}"
        for database in _list(entry["databases"]):
            problems += _known(where, "database", database, databases | {"replication"})
        for role in _list(entry.get("roles") or [None]):
            problems += _known(where, "role", role, roles)
        for source in _list(entry.get("sources") or [None]):
            if source == "0.0.0.0/0" or is_network(source):
                continue
            problems += _known(where, "source", source, {*groups, LOCAL, ANY})
    return problems


def postgresql_access_problems(asked: Mapping[str, Any], groups: Iterable[str]) -> list[str]:
    """One sentence for each mistake; empty for an inventory that holds together.

    `asked` has the variables of KEYS and `postgresql_hba_lines`; `groups` are the names of groups
    that a source may name, whether or not this site has them.
    """
    problems = [problem for name in KEYS for problem in _shape(name, asked[name])]
    if problems:
        return problems
    databases = {str(entry["name"]) for entry in asked["postgresql_databases"]}
    roles = {str(entry["name"]) for entry in asked["postgresql_roles"]}
    every = roles | {"grafana_reader"}
    problems += _of_databases(asked["postgresql_databases"], roles)
    problems += _of_roles(asked["postgresql_roles"], databases, roles)
    problems += _of_privileges(asked["postgresql_privileges"], databases, every)
    problems += _of_access(asked["postgresql_access"], databases, every, groups)
    for number, peer in enumerate(asked["postgresql_peers"], 1):
        problems += _known(f"postgresql_peers: number {number}", "role", peer.get("role"), roles)
    problems += [
        f"postgresql_hba_lines: {line!r}: only TLS (hostssl) and the local socket, and neither "
        "trust, password, md5 nor ident"
        for line in asked["postgresql_hba_lines"]
        if _OPEN.search(str(line)) and not str(line).lstrip().startswith("#")
    ]
    return problems


def postgresql_sources(
    access: Sequence[Entry], groups: Mapping[str, Sequence[str]], addresses: Mapping[str, str]
) -> list[str]:
    """Every name that the groups of all entries have for their hosts, and that has to be looked up.

    `addresses` is host -> register_address, empty where that is the host's name.
    """
    hosts = {host for entry in access for name in entry["sources"] for host in groups.get(name, [])}
    names = {addresses.get(host) or host for host in hosts}
    return sorted(name for name in names if not is_network(name))


def postgresql_looked_up(answers: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Name -> its addresses, of a loop over `getent ahosts`; none for a name that is unknown."""
    return {
        answer["item"]: sorted({line.split()[0] for line in answer["stdout"].splitlines() if line})
        for answer in answers
    }


def _networks(
    source: str,
    groups: Mapping[str, Sequence[str]],
    addresses: Mapping[str, str],
    looked_up: Mapping[str, Sequence[str]],
    own: str,
) -> list[str]:
    if source == ANY:
        return ["0.0.0.0/0", "::/0"]
    if source not in groups:
        return [str(ipaddress.ip_network(source))] if is_network(source) else []
    found = []
    for host in groups[source]:
        name = addresses.get(host) or host
        found += [name] if is_network(name) else list(looked_up.get(name, []))
        # A host asks itself on loopback, too.
        found += ["127.0.0.1", "::1"] if host == own else []
    return [str(ipaddress.ip_network(address.partition("%")[0])) for address in found]


def postgresql_hba(
    access: Sequence[Entry],
    groups: Mapping[str, Sequence[str]],
    addresses: Mapping[str, str],
    looked_up: Mapping[str, Sequence[str]],
    own: str,
) -> list[str]:
    """The lines of pg_hba.conf for the inventory's entries: SCRAM over TLS or the local socket.

    Names are quoted, so that a database called `all` is that database. `own` is this host.
    """
    lines = []
    for entry in access:
        # `replication` stands for itself and no database only as long as it is not quoted.
        databases = ",".join(
            name if name == "replication" else f'"{name}"' for name in _list(entry["databases"])
        )
        roles = ",".join(f'"{role}"' for role in _list(entry["roles"]))
        for source in _list(entry["sources"]):
            if source == LOCAL:
                lines.append(f"local {databases} {roles} scram-sha-256")
                continue
            lines += [
                f"hostssl {databases} {roles} {network} scram-sha-256"
                for network in _networks(source, groups, addresses, looked_up, own)
            ]
    return list(dict.fromkeys(lines))


def postgresql_role_flags(attributes: Sequence[str]) -> str:
    """All attributes of a role, so that one that is named no longer is taken away."""
    flags = {"LOGIN": True, "INHERIT": True}
    flags |= dict.fromkeys(("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION"), False)
    for attribute in attributes:
        flags[attribute.removeprefix("NO")] = not attribute.startswith("NO")
    return ",".join(name if wanted else f"NO{name}" for name, wanted in sorted(flags.items()))


def postgresql_passfile(role: str, password: str) -> str:
    """The line of a libpq password file that has a role's password for every server."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:{role}:{escaped}\n"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "postgresql_access_problems": postgresql_access_problems,
            "postgresql_sources": postgresql_sources,
            "postgresql_looked_up": postgresql_looked_up,
            "postgresql_hba": postgresql_hba,
            "postgresql_passfile": postgresql_passfile,
            "postgresql_role_flags": postgresql_role_flags,
        }
