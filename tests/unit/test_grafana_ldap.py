"""Directories that Grafana asks: what is refused, and the file that Grafana reads."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from plugins.filter import grafana_ldap as g

GROUP = {"dn": "cn=staff,dc=example,dc=com", "role": "Viewer"}
SERVER: dict[str, Any] = {
    "hosts": ["ldap1.example.com"],
    "bind_dn": "cn=grafana,dc=example,dc=com",
    "bind_password": 'pa"ss\\word',
    "search_base_dns": ["dc=example,dc=com"],
    "groups": [
        {**GROUP, "dn": "cn=admins,dc=example,dc=com", "role": "Admin", "server_admin": True},
        GROUP,
    ],
}


def read(*servers: dict[str, Any], seconds: int = 4) -> list[dict[str, Any]]:
    """The servers as Grafana reads them: it replaces what stands for a file before it parses."""
    text = g.grafana_ldap_toml(servers, "/ca.pem", seconds, "/s", "admin")
    for name, secret in g.grafana_ldap_secrets(servers).items():
        text = text.replace(f"$__file{{/s/{name}}}", secret)
    found: list[dict[str, Any]] = tomllib.loads(text)["servers"]
    return found


def test_a_server_in_full() -> None:
    assert g.grafana_ldap_problems([SERVER]) == []
    [server] = read(SERVER)
    assert (server["host"], server["port"]) == ("ldap1.example.com", 636)
    assert (server["use_ssl"], server["start_tls"], server["ssl_skip_verify"]) == (
        True,
        False,
        False,
    )
    assert server["root_ca_cert"] == "/ca.pem"
    assert server["bind_password"] == SERVER["bind_password"]
    assert server["search_filter"] == "(&(uid=%s)(!(uid=admin)))"
    assert server["group_search_filter_user_attribute"] == "dn"
    assert server["group_search_base_dns"] == ["dc=example,dc=com"]
    assert [(m["org_role"], m["grafana_admin"]) for m in server["group_mappings"]] == [
        ("Admin", True),
        ("Viewer", False),
    ]


def test_the_password_stands_in_no_configuration() -> None:
    assert 'pa"ss' not in g.grafana_ldap_toml([SERVER], "/ca.pem", 4, "/s", "admin")


def test_nobody_of_the_directory_is_the_local_admin() -> None:
    text = g.grafana_ldap_toml([SERVER], "/ca.pem", 4, "/s", "a*(b)")
    [server] = tomllib.loads(text)["servers"]
    assert server["search_filter"] == r"(&(uid=%s)(!(uid=a\2a\28b\29)))"


def test_starttls_has_its_own_port() -> None:
    [server] = read({**SERVER, "encryption": "starttls"})
    assert (server["port"], server["use_ssl"], server["start_tls"]) == (389, True, True)


@pytest.mark.parametrize(
    ("nested", "rule"), [(False, None), (True, "(member:1.2.840.113556.1.4.1941:=%s)")]
)
def test_active_directory_brings_its_names(nested: bool, rule: str | None) -> None:
    asked = {**SERVER, "directory": "active_directory", "nested_groups": nested}
    assert g.grafana_ldap_problems([asked]) == []
    [server] = read(asked)
    assert server["attributes"]["username"] == "sAMAccountName"
    assert "userAccountControl" in server["search_filter"]
    assert server.get("group_search_filter") == rule


@pytest.mark.parametrize(("hosts", "each"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_the_time_is_shared_out_among_all_hosts(hosts: int, each: int) -> None:
    names = [f"ldap{n}" for n in range(hosts)]
    first, second = names[:1], names[1:]
    servers = [{**SERVER, "hosts": part} for part in (first, second) if part]
    assert [server["timeout"] for server in read(*servers)] == [each] * len(servers)


def test_each_server_has_a_password_file_of_its_own() -> None:
    one, two = read(SERVER, {**SERVER, "bind_password": "other"})
    assert (one["bind_password"], two["bind_password"]) == ('pa"ss\\word', "other")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hosts": []}, "hosts must be a list"),
        ({"hosts": ["a b"]}, "hosts must be a list"),
        ({"encryption": "none"}, "encryption must be ldaps or starttls"),
        ({"directory": "novell"}, "directory must be"),
        ({"port": 0}, "port must be"),
        ({"search_base_dns": []}, "search_base_dns must be"),
        ({"search_filter": "(uid=me)"}, "search_filter must hold %s"),
        ({"bind_password": ""}, "bind_dn and bind_password"),
        ({"bind_password": "it's"}, "bind_dn and bind_password"),
        ({"bind_dn": ""}, "bind_dn and bind_password"),
        ({"nested_groups": True}, "nested_groups is for active_directory"),
        ({"ssl_skip_verify": True}, "a server has no ssl_skip_verify"),
        ({"search_filter": "(uid=%s)${HOME}"}, "${ and $__ would be replaced"),
        ({"groups": []}, "groups is empty"),
        ({"groups": [{"role": "Admin"}]}, "a group needs its dn"),
        ({"groups": [{**GROUP, "role": "editor"}]}, "did you mean Editor?"),
        ({"groups": [{**GROUP, "role": "Owner"}]}, "role must be one of"),
        ({"groups": [{**GROUP, "org": 1}]}, "has no org"),
        ({"groups": [{**GROUP, "server_admin": "yes"}]}, "server_admin must be true or false"),
    ],
)
def test_mistakes_are_named_with_the_server_and_without_its_password(
    change: dict[str, Any], said: str
) -> None:
    [problem] = g.grafana_ldap_problems([{**SERVER, **change}])
    assert said in problem
    assert problem.startswith("grafana_ldap_servers: ")
    assert SERVER["bind_password"] not in problem
