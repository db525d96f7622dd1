"""The audit's part of Grafana: people of the directory are declared, what others made is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana import ADMIN, SITES, Grafana, secret
from play import converge

HOSTS = SITES
PEOPLE = {"vera": "Viewer", "edgar": "Editor", "ada": "Admin", "sven": "Admin"}
CANARY = "canary-mallory-4711"


def audit(grafana: Grafana) -> dict[str, dict[str, Any]]:
    """The rows of this host by kind and name."""
    done = converge(grafana.name, playbook="audit.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "changed=0" in done.stdout
    for word in ("canary", "glsa_", secret("grafana_admin"), secret("grafana_secret_key")):
        assert word not in done.stdout
    shown = re.search(r"(?ms)^ok: \[\w+\] => *\n( +msg:.*?)^$", done.stdout)
    assert shown, done.stdout[-3000:]
    rows = yaml.safe_load(shown[1])["msg"]["rows"]
    assert {row["host"] for row in rows} == {grafana.name}
    return {f"{row['kind']} {row['name']}": row for row in rows}


def flagged(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["finding"] for name, row in rows.items() if row["finding"]}


def test_people_of_the_directory_are_shown_and_not_flagged(grafana: Grafana) -> None:
    for login in PEOPLE:
        grafana.signed_in(login)
    rows = audit(grafana)
    assert flagged(rows) == {}
    for login, role in PEOPLE.items():
        row = rows[f"user {login}"]
        assert row["may"].startswith(role)
        assert "LDAP" in row["may"]
        assert row["declared"] is True
        assert row["since"]
    assert "server administrator" in rows["user sven"]["may"]
    assert "break-glass" in rows[f"user {ADMIN}"]["may"]
    assert rows["setting auth.anonymous enabled"]["may"] == "off"
    assert "setting auth.ldap" in rows


@pytest.fixture
def rogues(grafana: Grafana) -> Iterator[None]:
    """A local editor, and a service account whose token never ends, for the time of a test."""
    send = ("-X", "POST", "-H", "Content-Type: application/json", "-d")
    user = {"login": "mallory", "name": "Mallory", "password": CANARY, "OrgId": 1}
    made = grafana.direct("/api/admin/users", *send, json.dumps(user))["id"]
    patch = ("-X", "PATCH", "-H", "Content-Type: application/json", "-d", '{"role": "Editor"}')
    grafana.direct(f"/api/org/users/{made}", *patch)
    robot = {"name": "robot", "role": "Admin"}
    account = grafana.direct("/api/serviceaccounts", *send, json.dumps(robot))["id"]
    for name, days in {"endless": 0, "short": 2, "long": 90}.items():
        token = {"name": name, "secondsToLive": days * 86_400}
        grafana.direct(f"/api/serviceaccounts/{account}/tokens", *send, json.dumps(token))
    yield
    grafana.direct(f"/api/admin/users/{made}", "-X", "DELETE")
    grafana.direct(f"/api/serviceaccounts/{account}", "-X", "DELETE")


@pytest.mark.usefixtures("rogues")
def test_what_was_made_by_hand_is_named(grafana: Grafana) -> None:
    rows = audit(grafana)
    wrong = flagged(rows)
    assert set(wrong) == {"user mallory", "token robot/endless", "token robot/short"}
    assert "and is Editor" in wrong["user mallory"]
    assert "never ends" in wrong["token robot/endless"]
    assert "It ends on" in wrong["token robot/short"]
    assert rows["service account robot"]["may"] == "Admin by 3 tokens"
    assert rows["token robot/long"]["until"]
