"""Grafana's `ldap.toml` from the inventory: what is wrong with the servers, and the file."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ENCRYPTIONS = {"ldaps": 636, "starttls": 389}
ROLES = ("Admin", "Editor", "Viewer")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*")
# It stands between single quotes, and Grafana puts it there before it reads the file.
_PASSWORD = re.compile(r"[ -&(-~]+")
_GROUP_KEYS = {"dn", "role", "server_admin"}

# What directories call things. Active Directory marks a disabled account in a bit of
# userAccountControl, and has a rule that finds members of members (MS-ADTS, 3.1.1.3.4.4).
_DIRECTORIES: dict[str, dict[str, Any]] = {
    "openldap": {
        "search_filter": "(uid=%s)",
        "group_search_filter": "(&(objectClass=groupOfNames)(member=%s))",
        "group_search_filter_user_attribute": "dn",
        "attributes": {
            "username": "uid",
            "name": "givenName",
            "surname": "sn",
            "email": "mail",
            "member_of": "memberOf",
        },
    },
    "active_directory": {
        "search_filter": "(&(objectCategory=person)(sAMAccountName=%s)"
        "(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
        "group_search_filter": "",
        "group_search_filter_user_attribute": "",
        "attributes": {
            "username": "sAMAccountName",
            "name": "givenName",
            "surname": "sn",
            "email": "mail",
            "member_of": "memberOf",
        },
    },
}
_NESTED = {
    "group_search_filter": "(member:1.2.840.113556.1.4.1941:=%s)",
    "group_search_filter_user_attribute": "distinguishedName",
}
_KEYS = {
    *("hosts", "port", "encryption", "ca_file", "directory", "bind_dn", "bind_password", "groups"),
    *("search_base_dns", "search_filter", "attributes", "nested_groups"),
    *("group_search_base_dns", "group_search_filter", "group_search_filter_user_attribute"),
}


def _problems_of_groups(groups: object) -> list[str]:
    if not isinstance(groups, list) or not groups:
        return ["groups is empty: without a group that has a role everybody would be let in"]
    problems = []
    for group in groups:
        if not isinstance(group, Mapping) or not group.get("dn"):
            problems.append("a group needs its dn")
            continue
        if set(group) - _GROUP_KEYS:
            problems.append(f"{group['dn']} has no {', '.join(sorted(set(group) - _GROUP_KEYS))}")
        if group.get("role") not in ROLES:
            near = difflib.get_close_matches(str(group.get("role")).title(), ROLES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(
                f"{group['dn']}: role must be one of {', '.join(ROLES)}, got "
                f"{group.get('role')!r}{hint}"
            )
        if not isinstance(group.get("server_admin", False), bool):
            problems.append(f"{group['dn']}: server_admin must be true or false")
    return problems


def _strings(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for part in value.values() for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [str(value)]


def _problems_of_place(server: Mapping[str, Any]) -> list[str]:
    """What is wrong with where the directory is, and with the way there."""
    problems = []
    hosts, port = server.get("hosts"), server.get("port", 1)
    if not isinstance(hosts, list) or not hosts or not all(_HOST.fullmatch(str(h)) for h in hosts):
        problems.append("hosts must be a list of names, as in [ldap1.example.com]")
    if server.get("encryption", "ldaps") not in ENCRYPTIONS:
        problems.append(
            f"encryption must be ldaps or starttls, got {server['encryption']!r}: passwords do not "
            "cross the network in the clear"
        )
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:  # noqa: PLR2004
        problems.append(f"port must be a number up to 65535, got {port!r}")
    if not server.get("bind_dn") or not _PASSWORD.fullmatch(str(server.get("bind_password", ""))):
        problems.append("bind_dn and bind_password (ASCII without ') of a reader are needed")
    return problems


def _problems_of_search(server: Mapping[str, Any]) -> list[str]:
    """What is wrong with how users and their groups are found."""
    problems = []
    if server.get("directory", "openldap") not in _DIRECTORIES:
        problems.append(
            f"directory must be openldap or active_directory, got {server['directory']!r}"
        )
    bases = server.get("search_base_dns")
    if not isinstance(bases, list) or not bases:
        problems.append("search_base_dns must be a list, as in ['dc=example,dc=com']")
    if "%s" not in server.get("search_filter", "%s"):
        problems.append("search_filter must hold %s, where the name of the user comes")
    if server.get("nested_groups") and server.get("directory") != "active_directory":
        problems.append("nested_groups is for active_directory: OpenLDAP has no rule for them")
    return problems


def _problems_of_server(server: Mapping[str, Any]) -> list[str]:
    problems = _problems_of_place(server) + _problems_of_search(server)
    unknown = sorted(set(server) - _KEYS)
    if unknown:
        problems.append(f"a server has no {', '.join(unknown)}")
    known = {key: value for key, value in server.items() if key != "bind_password"}
    if any("${" in text or "$__" in text for text in _strings(known)):
        problems.append("${ and $__ would be replaced by Grafana")
    return problems + _problems_of_groups(server.get("groups"))


def grafana_ldap_problems(servers: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each mistake; no password is in it."""
    problems = []
    for number, server in enumerate(servers, 1):
        if not isinstance(server, Mapping):
            problems.append(f"grafana_ldap_servers: number {number} is no mapping.")
            continue
        hosts = server.get("hosts")
        name = hosts[0] if isinstance(hosts, list) and hosts else f"number {number}"
        problems += [f"grafana_ldap_servers: {name}: {p}." for p in _problems_of_server(server)]
    return problems


def _toml(value: object) -> str:
    """A value in TOML, whose basic strings take the escapes that JSON writes."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(part) for part in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _without(filter_text: str, attribute: str, name: str) -> str:
    """A filter that never finds `name`, escaped as RFC 4515 wants it."""
    escaped = "".join(f"\\{ord(c):02x}" if c in "*()\\\0" else c for c in name)
    return f"(&{filter_text}(!({attribute}={escaped})))"


def _server(
    server: Mapping[str, Any],
    ca_file: str,
    timeout_seconds: int,
    password_file: str,
    admin_user: str,
) -> list[str]:
    directory = _DIRECTORIES[server.get("directory", "openldap")]
    if server.get("nested_groups"):
        directory = {**directory, **_NESTED}
    encryption = server.get("encryption", "ldaps")
    settings: dict[str, object] = {
        "host": " ".join(str(host) for host in server["hosts"]),
        "port": server.get("port", ENCRYPTIONS[encryption]),
        "use_ssl": True,
        "start_tls": encryption == "starttls",
        "ssl_skip_verify": False,
        "min_tls_version": "TLS1.2",
        "root_ca_cert": server.get("ca_file", ca_file),
        "timeout": timeout_seconds,
        "bind_dn": server["bind_dn"],
    }
    lines = ["[[servers]]", *(f"{key} = {_toml(value)}" for key, value in settings.items())]
    # Between single quotes nothing of it is taken for an escape.
    lines.append(f"bind_password = '$__file{{{password_file}}}'")
    attributes = {**directory["attributes"], **(server.get("attributes") or {})}
    keys = ["search_filter", "group_search_filter", "group_search_filter_user_attribute"]
    merged = {key: server.get(key, directory[key]) for key in keys}
    # Grafana takes an entry of that name for the local account, which became the directory's.
    found = merged["search_filter"]
    merged["search_filter"] = _without(found, attributes["username"], admin_user)
    lines.append(f"search_base_dns = {_toml(server['search_base_dns'])}")
    lines += [f"{key} = {_toml(value)}" for key, value in merged.items() if value]
    if merged["group_search_filter"]:
        bases = server.get("group_search_base_dns", server["search_base_dns"])
        lines.append(f"group_search_base_dns = {_toml(bases)}")
    lines += ["", "[servers.attributes]", *(f"{k} = {_toml(v)}" for k, v in attributes.items())]
    for group in server["groups"]:
        lines += [
            "",
            "[[servers.group_mappings]]",
            f"group_dn = {_toml(group['dn'])}",
            f"org_role = {_toml(group['role'])}",
            f"grafana_admin = {_toml(bool(group.get('server_admin', False)))}",
        ]
    return lines


def grafana_ldap_toml(
    servers: Sequence[Mapping[str, Any]],
    ca_file: str,
    timeout_seconds: int,
    secrets_dir: str,
    admin_user: str,
) -> str:
    """`ldap.toml`. All hosts together may take `timeout_seconds`: they are asked one by one.

    `admin_user` is the local administrator, whom no directory may stand for.
    """
    hosts = sum(len(server["hosts"]) for server in servers)
    each = max(1, int(timeout_seconds) // max(1, hosts))
    lines: list[str] = []
    for number, server in enumerate(servers, 1):
        password_file = f"{secrets_dir}/ldap_{number}"
        lines += [*_server(server, ca_file, each, password_file, admin_user), ""]
    return "\n".join(lines)


def grafana_ldap_secrets(servers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name of a file with a bind password -> the password."""
    return {f"ldap_{n}": str(s["bind_password"]) for n, s in enumerate(servers, 1)}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "grafana_ldap_problems": grafana_ldap_problems,
            "grafana_ldap_secrets": grafana_ldap_secrets,
            "grafana_ldap_toml": grafana_ldap_toml,
        }
