"""A small Prometheus that knows some series, and a forecaster that asks it."""

from __future__ import annotations

import http.server
import json
import math
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asgi import Answer, ask
from prometheus_client import CollectorRegistry

from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.web.app import application
from lookout.kit import config
from lookout.tokens import slots, storage
from lookout.tokens.gate import Gate
from lookout.tokens.slots import TokenSet

NOW = 1_790_000_100
DAY = 86_400
Value = Callable[[int], float]


def daily(at: int) -> float:
    """Up by day and down by night, with a little that nobody can foresee."""
    noise = math.sin(at * 12.9898) * 43758.5453
    return 50 + 20 * math.sin(2 * math.pi * at / DAY) + (noise - math.floor(noise) - 0.5)


@dataclass
class FakePrometheus:
    """Answers range and instant queries, or in the ways in which one fails."""

    url: str = ""
    series: dict[str, list[tuple[dict[str, str], Value]]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    # Instead of an answer: status and body
    fails: tuple[int, bytes] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    # Of the answer, so many bytes before the connection is cut
    cut: int | None = None

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        if self.fails:
            return self.fails
        found = self.series.get(form["query"], [])
        result: list[Any] = []
        if path.endswith("query_range"):
            start, end, step = (int(form[name]) for name in ("start", "end", "step"))
            if (end - start) / step + 1 > 11_000:
                return 400, b'{"status":"error","error":"exceeded maximum resolution"}'
            for labels, value in found:
                pairs = [(at, value(at)) for at in range(start, end + 1, step)]
                told = [[at, said(one)] for at, one in pairs if one is not GONE]
                if told:
                    result.append({"metric": labels, "values": told})
            kind = "matrix"
        else:
            at = int(form["time"])
            result = [{"metric": one, "value": [at, said(value(at))]} for one, value in found]
            kind = "vector"
        whole = {"status": "success", "data": {"resultType": kind, "result": result}, **self.extra}
        return 200, json.dumps(whole, separators=(",", ":")).encode()


GONE = float("nan")


def said(value: float) -> str:
    """As Prometheus writes a number."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    fake = FakePrometheus()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = dict(urllib.parse.parse_qsl(text))
            fake.asked.append(form)
            fake.headers.append(dict(self.headers.items()))
            status, body = fake.answer(self.path, form)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status in (301, 307):
                self.send_header("Location", f"{fake.url}/elsewhere")
            self.end_headers()
            self.wfile.write(body[: fake.cut])

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


CONFIG = """
source: {url: "%s", timeout_seconds: 5}
models_directory: %s/models
state_directory: %s/state
run_directory: %s/run
api: {tokens: %s/tokens/tokens.json}
history_days: 14
series:
  load: {query: load, title: Load, unit: "%%", upper: 100}
  disk: {query: used, upper_query: size, labels: [instance, mountpoint]}
"""


@pytest.fixture
def options(prometheus: FakePrometheus, tmp_path: Path) -> ForecasterOptions:
    for name in ("models", "state", "run", "tokens"):
        (tmp_path / name).mkdir()
    text = CONFIG % (prometheus.url, *[tmp_path] * 4)
    return config.parse(ForecasterOptions, text, "forecaster.yml")


@dataclass
class Api:
    """The API, asked as the gateway does."""

    app: Any
    token: str
    reader: str
    clock: list[float]
    registry: CollectorRegistry

    def __call__(
        self,
        path: str,
        method: str = "GET",
        body: bytes = b"",
        token: str | None = "",
        **headers: str,
    ) -> Answer:
        if token is not None:
            headers.setdefault("authorization", f"Bearer {token or self.token}")
        return ask(self.app, path, method, body, **headers)


@pytest.fixture
def api(options: ForecasterOptions, tmp_path: Path) -> Api:
    registry, clock = CollectorRegistry(), [float(NOW)]
    held, _, token = slots.create(TokenSet(()), "robot", ("read", "train"), NOW + 9e6, NOW)
    held, _, reader = slots.create(held, "grafana", ("read",), NOW + 9e6, NOW)
    storage.write(options.api.tokens, held)
    gate = Gate(options.api.tokens, tmp_path / "state/used.json", registry, lambda: clock[0])
    app = application(options, gate, registry, lambda: clock[0])
    return Api(app, token, reader, clock, registry)
