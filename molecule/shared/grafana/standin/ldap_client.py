"""One LDAP server, asked in the steps that Grafana takes: bind, search, bind as the user."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

from .directory import CredentialsError, DirectoryError, Person, UserNotFoundError, mapped
from .log import Logger

LOG = Logger("ldap")
DEFAULT_TIMEOUT_SECONDS = 10


def sign_in(server: dict[str, Any], username: str, password: str) -> Person:
    connection = _dial(server)
    single = "%s" in str(server.get("bind_dn", "")) and not server.get("bind_password", "")
    try:
        if single:
            _bind(connection, server["bind_dn"].replace("%s", username), password)
        elif server.get("bind_password", ""):
            try:
                _bind(connection, server["bind_dn"], server.get("bind_password", ""))
            except CredentialsError as error:
                LOG.error(
                    "Cannot authenticate admin user in LDAP. Verify bind configuration", error=error
                )
                raise
        person = _person(server, connection, username)
        if server.get("group_mappings") and person.role is None and not person.server_admin:
            LOG.warn(
                "User does not belong in any of the specified LDAP groups",
                username=person.login,
                groups=person.groups,
            )
            raise CredentialsError("invalid username or password")
        if not single:
            _bind(connection, person.dn, password)
        return person
    except LDAPException as error:
        raise DirectoryError(f"LDAP: {error}") from None
    finally:
        _close(connection)


def _tls(server: dict[str, Any]) -> ldap3.Tls:
    files = str(server.get("root_ca_cert", "")).split()
    trusted = ""
    for file in files:
        try:
            trusted += Path(file).read_text(encoding="utf-8")
        except OSError as error:
            raise DirectoryError(str(error)) from None
    return ldap3.Tls(
        validate=ssl.CERT_NONE if server.get("ssl_skip_verify") else ssl.CERT_REQUIRED,
        ca_certs_data=trusted or None,
        # A context of our own kind: Python's default one is stricter with a CA than Go is.
        version=ssl.PROTOCOL_TLS_CLIENT,
        local_certificate_file=server.get("client_cert") or None,
        local_private_key_file=server.get("client_key") or None,
    )


def _dial(server: dict[str, Any]) -> ldap3.Connection:
    """Connect to the first host that answers.

    `start_tls` counts only beside `use_ssl`, as in Grafana: alone it is a connection in plain text.
    The timeout is that of the connection, and of LDAPS' handshake; answers are waited for without.
    """
    timeout = server.get("timeout") or DEFAULT_TIMEOUT_SECONDS
    tls = _tls(server) if server.get("use_ssl") else None
    failure = "no host"
    for host in str(server.get("host", "")).split():
        target = ldap3.Server(
            host.strip("[]"), port=server.get("port", 389), tls=tls,
            use_ssl=bool(tls) and not server.get("start_tls"),
            connect_timeout=timeout, get_info=ldap3.NONE,
        )  # fmt: skip
        connection = ldap3.Connection(target, raise_exceptions=False, auto_referrals=False)
        try:
            connection.open(read_server_info=False)
            connection.socket.settimeout(None)
            if tls and server.get("start_tls"):
                connection.start_tls(read_server_info=False)
            return connection
        except (LDAPException, OSError) as error:
            failure = f'LDAP Result Code 200 "Network Error": {host}: {error}'
            LOG.debug("unable to dial LDAP server", host=host, port=target.port, error=error)
            _close(connection)
    raise DirectoryError(failure)


def _close(connection: ldap3.Connection) -> None:
    with contextlib.suppress(LDAPException, OSError):  # it may be broken already
        connection.unbind()


def _bind(connection: ldap3.Connection, dn: str, password: str) -> None:
    if not password:
        raise CredentialsError("invalid username or password")
    if not connection.rebind(dn, password, authentication=ldap3.SIMPLE, read_server_info=False):
        if connection.result["result"] == ldap3.core.results.RESULT_INVALID_CREDENTIALS:
            raise CredentialsError("invalid username or password")
        raise DirectoryError(f"LDAP bind of {dn}: {connection.result['description']}")


def _first(entry: dict[str, Any], name: str) -> str:
    if name.lower() == "dn":
        return str(entry["dn"])
    for key, values in entry["attributes"].items():
        if key.lower() == name.lower() and values:
            return str(values[0] if isinstance(values, list) else values)
    return ""


def _search(
    connection: ldap3.Connection, base: str, wanted: str, attributes: list[str]
) -> list[dict[str, Any]]:
    names = [name for name in attributes if name and name.lower() != "dn"] or ["1.1"]
    if (
        not connection.search(base, wanted, attributes=names, dereference_aliases=ldap3.DEREF_NEVER)
        and connection.result["result"]
    ):
        raise DirectoryError(f"LDAP search below {base}: {connection.result['description']}")
    return [entry for entry in connection.response if entry["type"] == "searchResEntry"]


def _person(server: dict[str, Any], connection: ldap3.Connection, username: str) -> Person:
    names = server.get("attributes", {})
    wanted = f"(|{server['search_filter'].replace('%s', escape_filter_chars(username))})"
    member_of = names.get("member_of", "")
    by = server.get("group_search_filter_user_attribute", "")
    attributes = [
        *(names.get(key, "") for key in ("username", "surname", "email", "name")),
        member_of,
        by,
    ]
    for base in server["search_base_dns"]:
        found = _search(connection, base, wanted, attributes)
        if found:
            entry = found[0]
            break
    else:
        raise UserNotFoundError("can't find user in LDAP")
    if server.get("group_search_filter"):
        groups = _groups(
            server, connection, _first(entry, by or names.get("username", "")), member_of
        )
    else:
        values = {k.lower(): v for k, v in entry["attributes"].items()}.get(member_of.lower(), [])
        groups = [str(v) for v in (values if isinstance(values, list) else [values])]
    role, server_admin = mapped(server.get("group_mappings", []), groups)
    full = f"{_first(entry, names.get('name', ''))} {_first(entry, names.get('surname', ''))}"
    return Person(
        entry["dn"], _first(entry, names.get("username", "")), full.strip(),
        _first(entry, names.get("email", "")), role, server_admin, groups,
    )  # fmt: skip


def _groups(
    server: dict[str, Any], connection: ldap3.Connection, value: str, member_of: str
) -> list[str]:
    name = "dn" if member_of in ("", "memberOf") else member_of
    wanted = server["group_search_filter"].replace("%s", escape_filter_chars(value))
    return [
        _first(entry, name)
        for base in server.get("group_search_base_dns") or server["search_base_dns"]
        for entry in _search(connection, base, wanted, [name])
    ]
