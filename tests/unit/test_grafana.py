"""Grafana's settings, data sources and database: what is refused, and what is written."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from plugins.filter import grafana as g

OWNED = {"paths": "the role knows", "server.http_port": "set grafana_port"}


def problems(settings: dict[str, Any]) -> list[str]:
    return g.grafana_setting_problems(settings, OWNED, "grafana_settings")


# --- grafana.ini ---


def test_values_are_written_as_grafana_reads_them() -> None:
    text = g.grafana_ini({"a": {"on": True, "n": 3, "none": None, "text": "plain"}, "b": {}})
    assert text == "[a]\non = true\nn = 3\nnone = \ntext = plain\n\n[b]\n"


@pytest.mark.parametrize("value", ["a#b", "a;b", "`a", 'a"', " a", "a ", "a\\"])
def test_what_would_be_a_comment_or_lost_is_quoted(value: str) -> None:
    assert g.grafana_ini({"a": {"k": value}}) == f'[a]\nk = """{value}"""\n'


def test_settings_of_the_operator_that_hold_together() -> None:
    assert problems({"users": {"default_theme": "light"}, "server": {"router_logging": True}}) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"paths": {"data": "/x"}}, "paths.data belongs to the role: the role knows"),
        ({"server": {"http_port": 1}}, "server.http_port belongs to the role: set grafana_port"),
        ({"Users": {"a": 1}}, "'Users' must be a section"),
        ({"users": "a"}, "'users' must be a section of grafana.ini with a mapping"),
        ({"users": {"a b": 1}}, "'users.a b' is no key"),
        ({"users": {"a": "x\n[security]"}}, "users.a must be a text of one line"),
        ({"users": {"a": "%(b)s"}}, "users.a must be a text of one line"),
        ({"users": {"a": [1]}}, "users.a must be a text of one line"),
    ],
)
def test_other_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    [problem] = problems(settings)
    assert problem.startswith(f"grafana_settings: {said}")


@pytest.mark.parametrize(
    "password", ["short", "with space", "quo'te-here", 'quo"te-here', "b\\acks"]
)
def test_a_password_that_files_would_change_is_refused_and_not_named(password: str) -> None:
    [problem] = g.grafana_password_problems({"grafana_admin_password": password})
    assert "grafana_admin_password" in problem
    assert password not in problem


def test_made_secrets_are_good_passwords() -> None:
    assert g.grafana_password_problems({"a": "Zk3-_xA9Zk3-_xA9Zk3-_xA9Zk3-_xA9"}) == []


# --- data sources ---

PROMETHEUS = {
    "uid": "prometheus",
    "name": "Prometheus",
    "type": "prometheus",
    "url": "https://127.0.0.1:9090",
    "client_certificate": True,
    "is_default": True,
    "file": "a.yml",
}
SPOTS = {
    "uid": "postgresql-spots",
    "name": "PostgreSQL spots",
    "type": "postgres",
    "url": "db1:1",
    "user": "grafana_reader",
    "password": "hunter2hunter2",
    "settings": {"database": "spots", "sslmode": "verify-full"},
    "file": "b.yml",
}
TLS = {"ca": "/t/ca.pem", "certificate": "/t/c.pem", "key": "/t/k.pem"}


def slurped(source: str, text: str) -> dict[str, str]:
    return {"source": source, "content": base64.b64encode(text.encode()).decode()}


def test_data_sources_are_read_with_their_files_in_order() -> None:
    read = g.grafana_sources_read([slurped("b.yml", "{uid: b}"), slurped("a.yml", "{uid: a}")])
    assert read == [{"uid": "a", "file": "a.yml"}, {"uid": "b", "file": "b.yml"}]


@pytest.mark.parametrize("text", ["[1]", "{", "just text", ""])
def test_a_file_that_holds_none_is_named(text: str) -> None:
    read = g.grafana_sources_read([slurped("a.yml", text)])
    assert g.grafana_source_problems(read) == [
        "a.yml: uid, name, type, url missing in a data source."
    ]


def test_two_that_hold_together() -> None:
    assert g.grafana_source_problems([PROMETHEUS, SPOTS]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": "prometheus"}, "a.yml and b.yml: two data sources with the uid prometheus"),
        ({"name": "Prometheus"}, "a.yml and b.yml: two data sources with the name Prometheus"),
        ({"is_default": True}, "prometheus, postgresql-spots: one data source alone"),
        ({"uid": "a b"}, "b.yml: uid must be"),
        ({"password": "hunter2$HOME"}, "b.yml: Grafana would replace what follows a $"),
        ({"url": ""}, "b.yml: url missing"),
        ({"tls": True}, "b.yml: a data source has no tls"),
    ],
)
def test_what_does_not_is_refused_without_its_password(change: dict[str, Any], said: str) -> None:
    found = g.grafana_source_problems([PROMETHEUS, {**SPOTS, **change}])
    assert len(found) == 1
    assert found[0].startswith(said)
    assert "hunter2" not in found[0]


def test_what_is_secret_stays_in_files() -> None:
    made = g.grafana_sources([PROMETHEUS, SPOTS], TLS, "/s")
    assert made["prune"] is True
    first, second = made["datasources"]
    assert first["secureJsonData"] == {
        "tlsCACert": "$__file{/t/ca.pem}",
        "tlsClientCert": "$__file{/t/c.pem}",
        "tlsClientKey": "$__file{/t/k.pem}",
    }
    assert first["jsonData"] == {"tlsAuth": True, "tlsAuthWithCACert": True}
    assert (first["isDefault"], second["isDefault"]) == (True, False)
    assert second["secureJsonData"] == {"password": "$__file{/s/data_source_postgresql-spots}"}
    assert second["jsonData"] == SPOTS["settings"]
    assert "hunter2" not in yaml.safe_dump(made)
    secrets = g.grafana_source_secrets([PROMETHEUS, SPOTS])
    assert secrets == {"data_source_postgresql-spots": "hunter2hunter2"}
