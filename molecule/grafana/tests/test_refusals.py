"""What is wrong ends the run before anything goes live, or Grafana goes back to what it ran.

The control node finds it, whatever the release of the host: one of them does.
"""

from __future__ import annotations

from typing import Any

import pytest
from grafana import DIRECT, SITES, Grafana
from hosts import CURL
from play import converge

HOSTS = SITES[:1]
BIND_PASSWORD = "canary-bind-4711"  # noqa: S105
LDAP = {
    "hosts": ["directory"],
    "bind_dn": "cn=reader,dc=example,dc=com",
    "bind_password": BIND_PASSWORD,
    "search_base_dns": ["dc=example,dc=com"],
    "groups": [{"dn": "cn=grafana-viewers,ou=groups,dc=example,dc=com", "role": "Viewer"}],
}
TWICE = {"uid": "prometheus", "name": "Another", "type": "prometheus", "url": "https://127.0.0.1:9"}

# Mistakes of one run, which names them all, and what it says of each
MISTAKES: dict[str, Any] = {
    "grafana_extra_dashboards": {
        "broken.json": '{\n  "uid": "broken",\n  oops\n}',
        "lost.json": '{"uid": "lost", "title": "Lost", "panels": []}',
    },
    "grafana_extra_data_sources": [TWICE],
    "grafana_ldap_servers": [
        {**LDAP, "groups": [{"dn": "cn=x", "role": "editr"}]},
        {**LDAP, "encryption": "none"},
        {**LDAP, "groups": []},
    ],
    "grafana_settings": {"server": {"http_port": 3001}},
    "grafana_admin_password": "short",
}
SAID = (
    "broken.json, line 3",
    "lost.json needs one tag that is a folder",
    "two data sources with the uid prometheus",
    "cn=x: role must be one of Admin, Editor, Viewer, got 'editr'; did you mean Editor?",
    "encryption must be ldaps or starttls, got 'none': passwords do not cross the network",
    "groups is empty",
    "server.http_port belongs to the role: set grafana_port",
    "grafana_admin_password must be 8 or more",
)
# What is wrong with the package's source, and what the message names
SOURCES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "key of somebody else": (
        {"grafana_repository_key_fingerprints": ["0" * 40]},
        ("grafana_repository_key_fingerprints", "Nothing was changed"),
    ),
    "out of reach": (
        {"grafana_version": "99.1.0", "grafana_repository_url": "https://127.0.0.1:9/"},
        ("grafana_repository_url", "mirror", "Nothing was changed"),
    ),
    "without that version": (
        {"grafana_version": "99.1.0"},
        ("grafana_repository_url", "99.1.0"),
    ),
}


def assert_refused(grafana: Grafana, variables: dict[str, Any], words: tuple[str, ...]) -> None:
    """The run fails, says all of that, and Grafana runs on as if nothing had been."""
    before = (grafana.tree(), grafana.started())
    done = converge(grafana.name, **variables)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert [word for word in words if word not in said] == [], said
    assert (grafana.tree(), grafana.started()) == before
    assert BIND_PASSWORD not in done.stdout + done.stderr


def test_all_mistakes_of_the_inventory_are_named_at_once(grafana: Grafana) -> None:
    assert_refused(grafana, MISTAKES, SAID)


@pytest.mark.parametrize("reason", SOURCES)
def test_a_source_that_cannot_be_used_ends_the_run(grafana: Grafana, reason: str) -> None:
    assert_refused(grafana, *SOURCES[reason])


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
