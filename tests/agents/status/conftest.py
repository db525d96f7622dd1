"""A history with a past, and the page over it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from lookout.kit import config
from lookout.status import metrics, storage
from lookout.status.options import StatusOptions
from lookout.status.records import Result, Run, add_result, add_run
from lookout.status.service import History
from lookout.status.web.app import application

NOW = 1_790_000_000.0
CONFIG = """
instance: mon1
page: {title: Shop}
tasks:
  web: {kind: website_access, title: Website, options: {url: "https://shop.example.com/"}}
  database: {kind: database_access, options: {user: status}}
  monitoring: {kind: heartbeat, every_minutes: 5}
"""


@pytest.fixture
def options(tmp_path: Path) -> StatusOptions:
    (tmp_path / "told").mkdir()
    text = (
        f"database: {tmp_path}/status.db\ntold_directory: {tmp_path}/told\n"
        f"task_classes: {tmp_path}/classes\n{CONFIG}"
    )
    return config.parse(StatusOptions, text, "status.yml")


@pytest.fixture
def database(options: StatusOptions) -> Path:
    storage.ensure(options.database)
    return options.database


@pytest.fixture
def past(database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hours of runs; the website failed for half an hour, and the database never ran."""
    monkeypatch.setattr("time.time", lambda: NOW)
    with storage.writer(database) as connection:
        for number in range(12):
            started = NOW - 600 * (12 - number)
            failed = 3 <= number < 6
            run = Run(
                "web", started, 0.1 * (number + 1), not failed, "<b>gone</b>" if failed else ""
            )
            add_run(connection, run)
        rows = (("Ann", 2, None), ("=1+2", 1, True))
        result = Result("orders", "Orders", NOW - 60, 0.2, True, "", ("who", "many", "paid"), rows)
        add_result(connection, result)
        add_result(connection, Result("slow", "Slow", NOW - 50, 2.0, False, "statement timeout"))
    return database


@dataclass(frozen=True)
class Answer:
    """What the page answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Answer]


@pytest.fixture
def ask(options: StatusOptions) -> Ask:
    """Ask the page as a gateway does."""
    registry = CollectorRegistry()
    history = History(options.database, registry)
    metrics.register(registry, options, history)
    app = application(options, history, registry)

    def asked(path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "scheme": "https", "server": ("localhost", 443),
            "client": ("127.0.0.1", 1),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        given = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], given, b"".join(one.get("body", b"") for one in sent[1:]))

    return asked
