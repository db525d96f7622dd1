"""The stand-in for Grafana over HTTP: sign-in, roles, folders, what is provisioned."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grafana import repository
from grafana.standin import main
from grafana.standin.app import App

HOME = repository.HERE / "package/usr/share/grafana"
# `admin` is there from the start: an Admin of the organisation and of the server, too.
PEOPLE = {"viewer": "Viewer", "editor": "Editor", "orgadmin": "Admin"}


@dataclass
class Client:
    """Requests to the server below its sub path, signed in by basic auth or not at all."""

    port: int
    app: App
    folder: Path

    def ask(
        self, method: str, path: str, who: str = "", body: object = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        if who:
            pair = base64.b64encode(f"{who}:{who}-pw".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, json.loads(raw) if is_json else raw, dict(answer.getheaders())

    def api(self, method: str, path: str, who: str = "", body: object = None) -> tuple[int, Any]:
        return self.ask(method, f"/grafana/api/{path}", who, body)[:2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("grafana")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    provisioning = folder / "provisioning"
    for name in ("datasources", "dashboards", "json"):
        (provisioning / name).mkdir(parents=True)
    (provisioning / "datasources/a.yaml").write_text(
        "apiVersion: 1\nprune: true\ndatasources:\n"
        "  - {name: Prometheus, uid: prometheus, type: prometheus, url: 'http://127.0.0.1:9',"
        " isDefault: true, secureJsonData: {tlsClientKey: hidden}}\n",
        encoding="utf-8",
    )
    (provisioning / "dashboards/a.yaml").write_text(
        "apiVersion: 1\nproviders:\n  - {name: a, folder: Infrastructure, folderUid: lookout-infra,"
        f" options: {{path: {provisioning}/json}}}}\n",
        encoding="utf-8",
    )
    board = {"title": "Overview", "uid": "overview", "tags": ["lookout"]}
    (provisioning / "json/overview.json").write_text(json.dumps(board), encoding="utf-8")
    (folder / "grafana.ini").write_text(
        f"""[server]
http_addr = 127.0.0.1
http_port = {port}
root_url = https://gateway.example.com/grafana/
serve_from_sub_path = true
[security]
admin_password = admin-pw
cookie_secure = true
cookie_samesite = strict
[paths]
data = {folder}/data
logs = {folder}/log
provisioning = {provisioning}
[log]
mode = file
""",
        encoding="utf-8",
    )
    given = ["server", f"--config={folder}/grafana.ini", f"--homepath={HOME}"]
    app, server = main.start(main.read(*main.arguments(given)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    for login, role in PEOPLE.items():
        app.accounts.create(login, f"{login}-pw", role=role)
    yield Client(port, app, folder)
    server.shutdown()
    server.server_close()


def test_health_says_that_it_is_the_standin(client: Client) -> None:
    status, content = client.api("GET", "health")
    assert status == 200
    assert content["standIn"] is True
    assert content["database"] == "ok"
    assert "standin" in content["version"]


def test_sub_path(client: Client) -> None:
    """Outside of it pages and /metrics are redirected, the API answers."""
    status, _, headers = client.ask("GET", "/metrics")
    assert (status, headers["Location"]) == (301, "https://gateway.example.com/grafana/metrics")
    assert client.ask("GET", "/api/health")[0] == 200
    assert b"grafana_build_info{" in client.ask("GET", "/grafana/metrics")[1]
    assert client.ask("GET", "/grafana/")[2]["Location"] == "/grafana/login"


def test_sign_in_by_form_and_cookie(client: Client) -> None:
    body = {"user": "viewer", "password": "viewer-pw"}
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    connection.request("POST", "/grafana/login", json.dumps(body))
    answer = connection.getresponse()
    assert json.loads(answer.read()) == {"message": "Logged in", "redirectUrl": "/grafana/"}
    first = (answer.headers.get_all("Set-Cookie") or [])[0]
    connection.close()
    for part in ("; HttpOnly", "; Secure", "; SameSite=Strict", "; Path=/grafana;"):
        assert part in first
    token = first.split(";")[0]
    assert client.ask("GET", "/grafana/api/user", Cookie=token)[1]["login"] == "viewer"
    foreign = client.ask(
        "POST", "/grafana/api/ds/query", body={}, Cookie=token, Origin="https://evil.example.com"
    )
    assert foreign[:2] == (403, b"origin not allowed")
    assert client.ask("GET", "/grafana/logout", Cookie=token)[0] == 302
    assert client.ask("GET", "/grafana/api/user", Cookie=token)[0] == 401


def test_nobody_and_a_wrong_password_are_unauthorized(client: Client) -> None:
    assert client.api("GET", "user")[1]["messageId"] == "auth.unauthorized"
    body = {"user": "nobody", "password": "x"}
    status, content, _ = client.ask("POST", "/grafana/login", body=body)
    assert (status, content["messageId"]) == (401, "password-auth.failed")


def test_five_wrong_passwords_block_a_user(client: Client) -> None:
    client.app.accounts.create("blocked", "blocked-pw")
    for _ in range(5):
        wrong = {"user": "blocked", "password": "wrong"}
        assert client.ask("POST", "/grafana/login", body=wrong)[0] == 401
    assert client.api("GET", "user", "blocked")[0] == 401
    assert "temporarily blocked" in (client.folder / "log/grafana.log").read_text("utf-8")


MATRIX = {
    ("GET", "user"): (200, 200, 200, 200),
    ("GET", "org"): (200, 200, 200, 200),
    ("GET", "org/users"): (403, 403, 200, 200),
    ("GET", "users"): (403, 403, 403, 200),
    ("GET", "admin/settings"): (403, 403, 403, 200),
    ("GET", "admin/stats"): (403, 403, 403, 200),
    ("POST", "admin/provisioning/dashboards/reload"): (403, 403, 403, 200),
    ("GET", "datasources"): (200, 200, 200, 200),
    ("POST", "datasources"): (403, 403, 400, 400),
    ("GET", "search"): (200, 200, 200, 200),
    ("GET", "dashboards/uid/overview"): (200, 200, 200, 200),
    ("POST", "folders"): (403, 400, 400, 400),
    ("GET", "folders/lookout-infra/permissions"): (403, 403, 200, 200),
    ("GET", "serviceaccounts/search"): (403, 403, 200, 200),
    ("GET", "none/such"): (404, 404, 404, 404),
}


@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_roles(client: Client, method: str, path: str) -> None:
    body: dict[str, str] | None = {} if method == "POST" else None
    found = [client.api(method, path, who, body)[0] for who in (*PEOPLE, "admin")]
    assert tuple(found) == MATRIX[method, path]
    assert client.api(method, path, body=body)[0] == 401


def test_refusal_names_the_right(client: Client) -> None:
    content = client.api("GET", "users", "viewer")[1]
    assert content["title"] == "Access denied"
    assert content["accessErrorId"].startswith("ACE")
    assert content["message"].endswith("Permissions needed: users:read")


def test_what_is_provisioned_stays_as_it_is(client: Client) -> None:
    content = client.api("GET", "dashboards/uid/overview", "admin")[1]
    assert content["meta"]["provisioned"] is True
    assert content["meta"]["provisionedExternalId"] == "overview.json"
    assert content["meta"]["folderUid"] == "lookout-infra"
    body = {"dashboard": content["dashboard"], "overwrite": True}
    assert client.api("POST", "dashboards/db", "admin", body)[0] == 400
    assert client.api("DELETE", "dashboards/uid/overview", "admin")[0] == 400
    assert client.api("DELETE", "datasources/uid/prometheus", "admin")[0] == 403


def test_secrets_are_not_shown(client: Client) -> None:
    content = client.api("GET", "datasources/uid/prometheus", "admin")[1]
    assert content["secureJsonFields"] == {"tlsClientKey": True}
    security = client.api("GET", "admin/settings", "admin")[1]["security"]
    assert {security[key] for key in ("admin_password", "secret_key")} == {"*********"}


def test_data_source_that_is_down(client: Client) -> None:
    status, content = client.api("GET", "datasources/uid/prometheus/health", "viewer")
    assert (status, content["status"]) == (400, "ERROR")
    query = {"refId": "A", "datasource": {"uid": "prometheus"}, "expr": "up", "instant": True}
    status, content = client.api("POST", "ds/query", "viewer", {"queries": [query]})
    assert status == 400
    assert "refused" in content["results"]["A"]["error"]
    assert client.api("GET", "datasources/proxy/uid/prometheus/api/v1/query", "viewer")[0] == 502


def test_folder_permissions_hide(client: Client) -> None:
    made = client.api("POST", "folders", "admin", {"title": "Closed", "uid": "closed"})
    assert made[0] == 200
    body = {"items": [{"role": "Editor", "permission": 1}]}
    assert client.api("POST", "folders/closed/permissions", "admin", body)[0] == 200
    board = {"dashboard": {"title": "Inner", "uid": "inner"}, "folderUid": "closed"}
    assert client.api("POST", "dashboards/db", "editor", board)[0] == 403
    assert client.api("POST", "dashboards/db", "admin", board)[0] == 200
    assert client.api("GET", "dashboards/uid/inner", "viewer")[0] == 403
    assert client.api("GET", "dashboards/uid/inner", "editor")[0] == 200
    seen = {who: client.api("GET", "search?query=inner", who)[1] for who in ("viewer", "editor")}
    assert [len(found) for found in seen.values()] == [0, 1]
    assert client.api("DELETE", "folders/closed", "admin")[0] == 200
    assert client.api("GET", "dashboards/uid/inner", "admin")[0] == 404


def test_local_user_is_disabled_and_deleted(client: Client) -> None:
    body = {"login": "temp", "password": "temp-pw", "name": "T", "email": "t@localhost"}
    number = client.api("POST", "admin/users", "admin", body)[1]["id"]
    assert client.api("GET", "user", "temp")[0] == 200
    assert client.api("POST", f"admin/users/{number}/disable", "admin")[0] == 200
    assert client.api("GET", "user", "temp")[1]["messageId"] == "identity.disabled"
    assert client.api("DELETE", f"admin/users/{number}", "admin")[0] == 200
    assert client.api("GET", "users/lookup?loginOrEmail=temp", "admin")[0] == 404


def test_service_account_and_token(client: Client) -> None:
    status, made = client.api("POST", "serviceaccounts", "admin", {"name": "ci", "role": "Viewer"})
    assert status == 201
    where = f"serviceaccounts/{made['id']}/tokens"
    token = client.api("POST", where, "admin", {"name": "one", "secondsToLive": 60})[1]
    bearer = {"Authorization": f"Bearer {token['key']}"}
    assert client.ask("GET", "/grafana/api/search", **bearer)[0] == 200
    assert client.ask("GET", "/grafana/api/org/users", **bearer)[0] == 403
    listed = client.api("GET", where, "admin")[1][0]
    assert (listed["name"], listed["hasExpired"]) == ("one", False)
    assert client.api("DELETE", f"{where}/{token['id']}", "admin")[0] == 200
    assert client.ask("GET", "/grafana/api/search", **bearer)[0] == 401


def test_reload_takes_what_is_there_and_drops_what_is_not(client: Client) -> None:
    folder = client.folder / "provisioning"
    (folder / "json/second.json").write_text('{"title": "Second", "uid": "second"}', "utf-8")
    (folder / "json/broken.json").write_text('{"title":', "utf-8")
    assert client.api("POST", "admin/provisioning/dashboards/reload", "admin")[0] == 200
    assert client.api("GET", "dashboards/uid/second", "viewer")[0] == 200
    assert "failed to load dashboard" in (client.folder / "log/grafana.log").read_text("utf-8")
    for name in ("second", "broken"):
        (folder / f"json/{name}.json").unlink()
    client.api("POST", "admin/provisioning/dashboards/reload", "admin")
    assert client.api("GET", "dashboards/uid/second", "viewer")[0] == 404
    declared = folder / "datasources/a.yaml"
    before = declared.read_text("utf-8")
    declared.write_text("apiVersion: 1\nprune: true\ndatasources: []\n", "utf-8")
    client.api("POST", "admin/provisioning/datasources/reload", "admin")
    assert client.api("GET", "datasources", "viewer")[1] == []
    declared.write_text("datasources: [\n", "utf-8")
    assert client.api("POST", "admin/provisioning/datasources/reload", "admin")[0] == 500
    declared.write_text(before, "utf-8")
    assert client.api("POST", "admin/provisioning/datasources/reload", "admin")[0] == 200
