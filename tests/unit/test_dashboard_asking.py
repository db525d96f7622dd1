"""How the preview of dashboards asks a Prometheus, here a small server."""

from __future__ import annotations

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tools.dashboards import asking
from tools.dashboards.asking import AskError, as_opened, by_url, collect

PASSWORD = "a word"  # noqa: S105
DASHBOARD: dict[str, Any] = {
    "uid": "some",
    "templating": {"list": [
        {"name": "host", "type": "query", "query": "label_values(up, instance)", "hide": 0},
    ]},
    "panels": [
        {"id": 1, "type": "row", "title": "On $host"},
        {"id": 2, "type": "stat", "title": "Busy", "targets": [
            {"refId": "A", "expr": 'busy{instance="$host"}', "range": False},
            {"refId": "B", "expr": "idle", "range": True},
        ]},
    ],
}  # fmt: skip


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def url(asked: list[str]) -> Iterator[str]:
    class Prometheus(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
            known = self.headers.get("Authorization") == f"Basic {wanted}"
            path, _, query = self.path.partition("?")
            expr = urllib.parse.parse_qs(query)["query"][0]
            asked.append(f"{path} {expr}")
            result = [{"metric": {"instance": name}, "value": [0, "1"]} for name in ("b", "a")]
            body = json.dumps({"status": "success", "data": {"result": result}}).encode()
            if expr == "idle" and "refuse" in path:
                body = json.dumps({"status": "error", "error": "too much"}).encode()
            # As the gateway does where somebody asks too fast
            limited = expr == "often" and len(asked) < 3
            self.send_response(429 if limited else 200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/prometheus/"
    server.shutdown()
    server.server_close()


def test_it_signs_in_and_asks_what_grafana_would_ask(url: str, asked: list[str]) -> None:
    ask = by_url(url, "me", PASSWORD, None)
    opened, picked = as_opened(DASHBOARD, ask)
    assert picked == {"host": "a"}
    assert opened["panels"][0]["title"] == "On a"
    answers = collect(opened, picked, ask, 60)
    assert [len(found) for found in answers[2]] == [2, 2]
    assert asked == [
        '/prometheus/api/v1/query count by (instance) (up{instance!=""})',
        '/prometheus/api/v1/query busy{instance="a"}',
        "/prometheus/api/v1/query_range idle",
    ]


def test_a_gateway_that_limits_is_asked_again(
    url: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.dashboards.asking.time.sleep", lambda _: None)
    ask = by_url(url, "me", PASSWORD, None)
    [answer] = ask([("query", {"query": "often"})])
    assert answer["status"] == "success"
    assert len(asked) == 3
    asked.clear()
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", -1)
    with pytest.raises(AskError, match="429"):
        ask([("query", {"query": "often"})])
    assert len(asked) == 1


def test_a_wrong_password_and_a_refusal_are_said(url: str) -> None:
    with pytest.raises(AskError, match="401"):
        as_opened(DASHBOARD, by_url(url, "me", "another", None))
    ask = by_url(f"{url}refuse", "me", PASSWORD, None)
    with pytest.raises(AskError, match="some, Busy: too much"):
        collect(DASHBOARD, {"host": "a"}, ask, 60)


def test_nobody_there_is_said() -> None:
    with pytest.raises(AskError, match=r"http://127\.0\.0\.1:1"):
        as_opened(DASHBOARD, by_url("http://127.0.0.1:1", "me", "", None))
