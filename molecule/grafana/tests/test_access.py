"""Who may do what: people of the directory sign in at the gateway, and ask for one thing each.

The statuses are those of Grafana's open source edition: pkg/api/accesscontrol.go (the roles
fixed:*, and which of Admin, Editor, Viewer has them), pkg/services/accesscontrol/roles.go (what
belongs to the server administrator), pkg/api/api.go (what an address asks for).
"""

from __future__ import annotations

import pytest
from grafana import ADMIN, SITES, Grafana, Session
from people import password_of

HOSTS = SITES
FOLDER = "matrix"
QUERY = {
    "queries": [{"refId": "A", "datasource": {"uid": "prometheus"}, "expr": "up", "instant": True}],
    "from": "now-5m",
    "to": "now",
}

ROLES = ("nobody", "viewer", "editor", "admin", "server admin", "local admin")
WHO = {"viewer": "vera", "editor": "edgar", "admin": "ada", "server admin": "sven"}
# Those who get no further than nobody: name, password, why.
TURNED_AWAY = {
    "wrong password": ("wanda", "mistyped"),
    "no group": ("nina", password_of("nina")),
    "a group in a group": ("nora", password_of("nora")),
    "locked": ("lars", password_of("lars")),
    "unknown": ("ursula", "whatever"),
    "no password": ("vera", None),
    "a filter for a name": ("*", password_of("vera")),
    "half a filter for a name": ("vera)(uid=vera", password_of("vera")),
    "the other's password": ("edgar", password_of("vera")),
}

# Columns as in ROLES
MATRIX: dict[str, tuple[int, ...]] = {
    "GET /api/health": (200, 200, 200, 200, 200, 200),
    "GET /metrics": (403, 403, 403, 403, 403, 403),
    "GET /api/user": (401, 200, 200, 200, 200, 200),
    "GET /api/org": (401, 200, 200, 200, 200, 200),
    "GET /api/search": (401, 200, 200, 200, 200, 200),
    "GET /api/dashboards/uid/{dashboard}": (401, 200, 200, 200, 200, 200),
    "GET /api/datasources": (401, 200, 200, 200, 200, 200),
    "GET /api/datasources/uid/prometheus/health": (401, 200, 200, 200, 200, 200),
    "POST /api/ds/query": (401, 200, 200, 200, 200, 200),
    "POST /api/datasources": (401, 403, 403, 200, 200, 200),
    "POST /api/folders": (401, 403, 200, 200, 200, 200),
    "POST /api/dashboards/db": (401, 403, 200, 200, 200, 200),
    "GET /api/folders/matrix/permissions": (401, 403, 403, 200, 200, 200),
    "GET /api/org/users": (401, 403, 403, 200, 200, 200),
    "GET /api/users": (401, 403, 403, 403, 200, 200),
    "GET /api/admin/settings": (401, 403, 403, 403, 200, 200),
    "GET /api/admin/stats": (401, 403, 403, 403, 200, 200),
}

BODIES = {
    "POST /api/ds/query": QUERY,
    "POST /api/datasources": {
        "name": "matrix", "uid": "matrix", "type": "prometheus", "access": "proxy",
        "url": "https://127.0.0.1:9",
    },
    "POST /api/folders": {"uid": "matrix-more", "title": "Matrix, more"},
    "POST /api/dashboards/db": {
        "dashboard": {"uid": "matrix", "title": "Matrix", "schemaVersion": 39, "panels": []},
        "folderUid": FOLDER,
    },
}  # fmt: skip
# What takes away again what was made
UNDONE = {
    "POST /api/datasources": "/api/datasources/uid/matrix",
    "POST /api/folders": "/api/folders/matrix-more",
    "POST /api/dashboards/db": "/api/dashboards/uid/matrix",
}


@pytest.fixture(scope="module")
def local(grafana: Grafana) -> Session:
    return grafana.signed_in(ADMIN)


@pytest.fixture(scope="module")
def sessions(grafana: Grafana, local: Session) -> dict[str, Session]:
    """role -> who has it, signed in."""
    people = {role: grafana.signed_in(name) for role, name in WHO.items()}
    assert people["viewer"].soon("GET", f"/api/folders/{FOLDER}", 200)
    assert people["editor"].soon("GET", f"/api/folders/{FOLDER}", 200)
    return {"nobody": grafana.visitor(), "local admin": local, **people}


@pytest.fixture(scope="module")
def dashboard(local: Session) -> str:
    """One of the dashboards that the role provisions."""
    found = local.get("/api/search?type=dash-db&tag=lookout")
    assert found, "no dashboard is provisioned"
    return str(found[0]["uid"])


@pytest.fixture(scope="module", autouse=True)
def folder(local: Session) -> object:
    """A folder as Grafana makes it: editors write, viewers read."""
    made = local.ask("POST", "/api/folders", {"uid": FOLDER, "title": "Matrix"})
    assert made.status == 200, made
    yield
    assert local.ask("DELETE", f"/api/folders/{FOLDER}").status == 200


def status(endpoint: str, session: Session, local: Session, dashboard: str) -> int:
    """What comes back; what was made is taken away again."""
    method, path = endpoint.format(dashboard=dashboard).split(maxsplit=1)
    answer = session.ask(method, path, BODIES.get(endpoint))
    if endpoint in UNDONE and answer.status == 200:
        assert local.ask("DELETE", UNDONE[endpoint]).status == 200
    return answer.status


@pytest.mark.parametrize("endpoint", MATRIX)
def test_each_role_gets_what_is_its_own(
    endpoint: str, sessions: dict[str, Session], local: Session, dashboard: str
) -> None:
    answers = {role: status(endpoint, sessions[role], local, dashboard) for role in ROLES}
    assert answers == dict(zip(ROLES, MATRIX[endpoint], strict=True))


@pytest.mark.parametrize("reason", TURNED_AWAY)
def test_who_is_turned_away_gets_no_further_than_nobody(
    grafana: Grafana, local: Session, dashboard: str, reason: str
) -> None:
    session = grafana.visitor()
    user, password = TURNED_AWAY[reason]
    refused = session.ask("POST", "/login", {"user": user, "password": password or ""})
    assert refused.status in (400, 401), refused
    assert "grafana_session" not in session.cookies
    answers = {endpoint: status(endpoint, session, local, dashboard) for endpoint in MATRIX}
    assert answers == {endpoint: expected[0] for endpoint, expected in MATRIX.items()}


def test_who_was_turned_away_has_no_account(local: Session) -> None:
    names = {user["login"] for user in local.get("/api/users")}
    assert names & {"nina", "nora", "lars", "ursula"} == set()


def test_signing_out_ends_the_session(grafana: Grafana) -> None:
    session = grafana.signed_in("vera")
    kept = dict(session.cookies)
    session.ask("GET", "/logout")
    session.cookies = kept
    assert session.ask("GET", "/api/user").status == 401


def test_guessing_is_ended_after_five_times(grafana: Grafana) -> None:
    """For five minutes, so that nobody else may need her account."""
    for _ in range(6):
        grafana.refused("gwen", "guessed")
    grafana.refused("gwen")
    grafana.signed_in(ADMIN)
