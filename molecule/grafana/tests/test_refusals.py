"""What is wrong ends the run before anything goes live, or Grafana goes back to what it ran."""

from __future__ import annotations

from typing import Any

import pytest
from grafana import DIRECT, SITES, Grafana
from hosts import CURL
from play import converge

HOSTS = SITES
BIND_PASSWORD = "canary-bind-4711"  # noqa: S105
LDAP = {
    "hosts": ["directory"],
    "bind_dn": "cn=reader,dc=example,dc=com",
    "bind_password": BIND_PASSWORD,
    "search_base_dns": ["dc=example,dc=com"],
    "groups": [{"dn": "cn=grafana-viewers,ou=groups,dc=example,dc=com", "role": "Viewer"}],
}
TWICE = {"uid": "prometheus", "name": "Another", "type": "prometheus", "url": "https://127.0.0.1:9"}

# variable and value -> what the message says, each part of it
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "broken dashboard": (
        {"grafana_extra_dashboards": {"shop.json": '{\n  "uid": "shop",\n  oops\n}'}},
        ("shop.json, line 3",),
    ),
    "dashboard without a team": (
        {"grafana_extra_dashboards": {"shop.json": '{"uid": "shop", "title": "S", "panels": []}'}},
        ("shop.json needs one tag that is a folder",),
    ),
    "two data sources of one uid": (
        {"grafana_extra_data_sources": [TWICE]},
        ("grafana_extra_data_sources", "uid prometheus"),
    ),
    "unknown role": (
        {"grafana_ldap_servers": [{**LDAP, "groups": [{"dn": "cn=x", "role": "editr"}]}]},
        ("cn=x", "Admin, Editor, Viewer", "did you mean Editor?"),
    ),
    "LDAP in the clear": (
        {"grafana_ldap_servers": [{**LDAP, "encryption": "none"}]},
        ("encryption must be ldaps or starttls", "in the clear"),
    ),
    "LDAP without a group": (
        {"grafana_ldap_servers": [{**LDAP, "groups": []}]},
        ("groups is empty",),
    ),
    "key of somebody else": (
        {"grafana_repository_key_fingerprints": ["0" * 40]},
        ("grafana_repository_key_fingerprints", "Nothing was changed"),
    ),
    "repository out of reach": (
        {"grafana_version": "99.1.0", "grafana_repository_url": "https://127.0.0.1:9/"},
        ("grafana_repository_url", "mirror", "Nothing was changed"),
    ),
    "what belongs to the role": (
        {"grafana_settings": {"server": {"http_port": 3001}}},
        ("server.http_port", "grafana_port"),
    ),
    "weak password": (
        {"grafana_admin_password": "short"},
        ("grafana_admin_password",),
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_mistake_ends_the_run_before_anything_changes(grafana: Grafana, reason: str) -> None:
    variables, words = REFUSED[reason]
    before = (grafana.tree(), grafana.started())
    done = converge(grafana.name, **variables)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert [word for word in words if word not in said] == [], said
    assert (grafana.tree(), grafana.started()) == before
    assert BIND_PASSWORD not in done.stdout + done.stderr


def test_a_version_that_is_not_there_is_named(grafana: Grafana) -> None:
    before = (grafana.tree(), grafana.started())
    done = converge(grafana.name, grafana_version="99.1.0")
    assert done.returncode != 0
    assert "99.1.0" in done.stdout
    assert (grafana.tree(), grafana.started()) == before
    assert converge(grafana.name).returncode == 0


def test_what_only_grafana_refuses_is_rolled_back(grafana: Grafana) -> None:
    before = grafana.tree()
    soon = {"auth": {"login_maximum_lifetime_duration": "soon"}}
    done = converge(grafana.name, grafana_settings=soon)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "soon" in said, "the message ends with Grafana's own words"
    assert "the former one is live again" in said
    assert grafana.tree() == before
    assert grafana.host.run(f"{CURL} {DIRECT}/api/health").rc == 0
    grafana.signed_in("vera")
    assert converge(grafana.name).returncode == 0
