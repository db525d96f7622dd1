"""Sign-in through LDAP, by the ldap.toml that Grafana reads. The protocol is `ldap_client`'s."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ini import expand

ROLES = ("None", "Viewer", "Editor", "Admin")


class ConfigError(Exception):
    """ldap.toml cannot be used: nobody signs in through LDAP, local users still do."""


class DirectoryError(Exception):
    """A server cannot be asked."""


class CredentialsError(Exception):
    """Wrong password, or none of the user's groups is mapped."""


class UserNotFoundError(Exception):
    """No server knows the user."""


@dataclass(frozen=True)
class Person:
    """What a directory says of somebody who may sign in."""

    dn: str
    login: str
    name: str
    email: str
    role: str | None
    server_admin: bool
    groups: list[str] = field(default_factory=list)


def read(path: Path) -> list[dict[str, Any]]:
    """The servers of an ldap.toml, checked as Grafana checks it."""
    try:
        # Grafana fills in the file as a whole, so a secret is read as TOML, too.
        text = expand(path.read_text(encoding="utf-8"))
        servers = tomllib.loads(text).get("servers", [])
    except (OSError, ValueError) as error:
        raise ConfigError(f"failed to load LDAP config file: {error}") from None
    if not servers:
        raise ConfigError("LDAP enabled but no LDAP servers defined in config file")
    for server in servers:
        for key in ("search_filter", "search_base_dns"):
            if not server.get(key):
                raise ConfigError(f"LDAP config file is missing option: {key}")
        for mapping in server.get("group_mappings", []):
            role = mapping.get("org_role")
            if role is not None:
                mapping["org_role"] = role[:1].upper() + role[1:] or "Viewer"
                if mapping["org_role"] not in ROLES:
                    raise ConfigError(f"invalid role value: {mapping['org_role']}")
    return list(servers)


def sign_in(servers: list[dict[str, Any]], username: str, password: str) -> Person:
    """Ask the servers in order; the first that knows the user and the password decides."""
    # A server without LDAP starts without the LDAP library.
    from . import ldap_client  # noqa: PLC0415

    refused: Exception | None = None
    for server in servers:
        try:
            return ldap_client.sign_in(server, username, password)
        except UserNotFoundError as error:
            refused = refused or error
        except CredentialsError as error:
            refused = error
        except DirectoryError:
            if server is servers[-1]:
                raise
    raise refused or UserNotFoundError("can't find user in LDAP")


def mapped(mappings: list[dict[str, Any]], groups: list[str]) -> tuple[str | None, bool]:
    """The role in the organisation, and whether the user is a server administrator.

    The first mapping that fits decides; `*` fits everybody.
    """
    own = {group.lower() for group in groups}
    role: str | None = None
    server_admin = False
    for mapping in mappings:
        if role is not None:
            break
        group = str(mapping.get("group_dn", ""))
        if group == "*" or group.lower() in own:
            role = mapping.get("org_role")
            server_admin = server_admin or bool(mapping.get("grafana_admin"))
    return role, server_admin
