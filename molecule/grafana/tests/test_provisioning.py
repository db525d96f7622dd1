"""Data sources, folders and dashboards: what is declared is there, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grafana import ADMIN, SITES, Grafana, Session
from play import converge

HOSTS = SITES
ROOT = Path(__file__).parents[3]
TEAMS = ("infrastructure", "data-science", "on-call")
OWN = {"uid": "scenario", "title": "Scenario", "tags": ["lookout", "on-call"]}
SPARE = {"uid": "spare", "name": "Spare", "type": "loki", "url": "https://127.0.0.1:9"}
SILENCE = {
    "matchers": [{"name": "alertname", "value": "None", "isRegex": False, "isEqual": True}],
    "startsAt": "2100-01-01T00:00:00Z",
    "endsAt": "2100-01-02T00:00:00Z",
    "createdBy": "edgar",
    "comment": "Of a test",
}


def board(uid: str, tag: str) -> str:
    about = {"uid": uid, "title": f"Title of {uid}", "tags": ["lookout", tag], "panels": []}
    return json.dumps({**about, "schemaVersion": 39})


@pytest.fixture(scope="module")
def local(grafana: Grafana) -> Session:
    return grafana.signed_in(ADMIN)


def query(session: Session, uid: str, **about: Any) -> Any:
    body = {"queries": [{"refId": "A", "datasource": {"uid": uid}, **about}]}
    return session.ask("POST", "/api/ds/query", {**body, "from": "now-1m", "to": "now"})


def test_data_sources_are_those_of_the_roles(grafana: Grafana, local: Session) -> None:
    found = {source["uid"]: source for source in local.get("/api/datasources")}
    database = {"postgresql-app"} if grafana.name == "bookworm" else set()
    assert set(found) == {"prometheus", "alertmanager"} | database
    assert all(source["readOnly"] for source in found.values())
    assert {source["access"] for source in found.values()} == {"proxy"}
    assert [uid for uid, source in found.items() if source["isDefault"]] == ["prometheus"]


def test_prometheus_answers_through_grafana(grafana: Grafana) -> None:
    vera = grafana.signed_in("vera")
    health = vera.get("/api/datasources/uid/prometheus/health")
    assert health["status"] == "OK"
    answer = query(vera, "prometheus", expr='up{job="grafana"}', instant=True)
    assert answer.status == 200
    frames = answer.json["results"]["A"]["frames"]
    assert [frame["data"]["values"][1] for frame in frames] == [[1]]


def test_alertmanager_answers_and_editors_alone_silence(grafana: Grafana) -> None:
    base = "/api/datasources/proxy/uid/alertmanager/api/v2"
    vera, edgar = grafana.signed_in("vera"), grafana.signed_in("edgar")
    assert vera.get(f"{base}/status")["cluster"]["status"]
    assert vera.ask("POST", f"{base}/silences", SILENCE).status == 403
    made = edgar.ask("POST", f"{base}/silences", SILENCE)
    assert made.status == 200, made
    gone = edgar.ask("DELETE", f"{base}/silence/{made.json['silenceID']}")
    assert gone.status == 200, gone


def test_every_dashboard_of_the_roles_is_in_the_folder_of_its_team(grafana: Grafana) -> None:
    vera = grafana.signed_in("vera")
    files = sorted(ROOT.glob("roles/*/files/dashboards/*.json"))
    for declared in [OWN, *(json.loads(file.read_text(encoding="utf-8")) for file in files)]:
        found = vera.get(f"/api/dashboards/uid/{declared['uid']}")
        (team,) = set(declared["tags"]) & set(TEAMS)
        assert found["dashboard"]["title"] == declared["title"]
        assert found["meta"]["folderUid"] == f"lookout-{team}"
        assert found["meta"]["provisioned"]
        assert not found["meta"]["canSave"]


@pytest.mark.parametrize("team", TEAMS)
def test_folders_are_seen_by_viewers_and_written_by_editors(local: Session, team: str) -> None:
    items = local.get(f"/api/folders/lookout-{team}/permissions")
    roles = {i["role"]: i["permission"] for i in items if i.get("role") in ("Viewer", "Editor")}
    assert roles == {"Viewer": 1, "Editor": 2}
    assert [item for item in items if item.get("userId") or item.get("teamId")] == []


def test_nobody_changes_what_a_role_provides(grafana: Grafana) -> None:
    ada = grafana.signed_in("ada")
    changed = {**json.loads(board("scenario", "on-call")), "title": "Mine"}
    body = {"dashboard": changed, "folderUid": "lookout-on-call", "overwrite": True}
    assert ada.ask("POST", "/api/dashboards/db", body).status == 400
    assert ada.ask("DELETE", "/api/dashboards/uid/scenario").status == 400
    source = ada.get("/api/datasources/uid/prometheus")
    assert ada.ask("PUT", "/api/datasources/uid/prometheus", source).status == 403
    assert ada.ask("DELETE", "/api/datasources/uid/prometheus").status == 403
    assert ada.get("/api/dashboards/uid/scenario")["dashboard"]["title"] == "Scenario"


def test_what_is_declared_comes_and_what_is_no_longer_goes(grafana: Grafana) -> None:
    more = {"shop.json": board("shop", "data-science")}
    kept = grafana.signed_in("ada").get("/api/dashboards/uid/system-overview")["dashboard"]["id"]
    done = converge(grafana.name, grafana_extra_dashboards=more, grafana_extra_data_sources=[SPARE])
    assert done.returncode == 0, done.stdout
    ada = grafana.signed_in("ada")
    assert ada.soon("GET", "/api/dashboards/uid/shop", 200)
    assert ada.get("/api/dashboards/uid/shop")["meta"]["folderUid"] == "lookout-data-science"
    assert ada.get("/api/datasources/uid/spare")["name"] == "Spare"
    assert ada.soon("GET", "/api/dashboards/uid/scenario", 404)
    # The same one as before: one that was made anew would have lost whose stars it has.
    assert ada.get("/api/dashboards/uid/system-overview")["dashboard"]["id"] == kept
    assert converge(grafana.name).returncode == 0
    assert ada.ask("GET", "/api/datasources/uid/spare").status == 404
    assert ada.soon("GET", "/api/dashboards/uid/shop", 404)
    assert ada.soon("GET", "/api/dashboards/uid/scenario", 200)


def test_a_folder_may_be_closed_and_what_somebody_gave_away_is_taken_back(
    grafana: Grafana, local: Session
) -> None:
    folders = {
        "infrastructure": {"title": "Infrastructure"},
        "data-science": {"title": "Data science"},
        "on-call": {"title": "On-call", "view": [], "edit": ["Editor"]},
    }
    gift = {"items": [{"role": "Viewer", "permission": 2}]}
    assert local.ask("POST", "/api/folders/lookout-infrastructure/permissions", gift).status == 200
    done = converge(grafana.name, grafana_folders=folders)
    assert done.returncode == 0, done.stdout
    items = local.get("/api/folders/lookout-infrastructure/permissions")
    assert {item.get("role"): item["permission"] for item in items}["Viewer"] == 1
    vera, edgar = grafana.signed_in("vera"), grafana.signed_in("edgar")
    assert vera.soon("GET", "/api/dashboards/uid/scenario", 403)
    assert "scenario" not in {found["uid"] for found in vera.get("/api/search")}
    assert edgar.ask("GET", "/api/dashboards/uid/scenario").status == 200
    assert converge(grafana.name).returncode == 0
    assert vera.soon("GET", "/api/dashboards/uid/scenario", 200)
