"""A history with a past, and the page over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asgi
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


Ask = Callable[..., asgi.Answer]


@pytest.fixture
def ask(options: StatusOptions) -> Ask:
    """Ask the page as a gateway does."""
    registry = CollectorRegistry()
    history = History(options.database, registry)
    metrics.register(registry, options, history)
    app = application(options, history, registry)

    def asked(path: str, method: str = "GET", body: bytes = b"", **headers: str) -> asgi.Answer:
        return asgi.ask(app, path, method, body, **headers)

    return asked
