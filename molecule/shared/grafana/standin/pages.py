"""Answers that are no API: the pages, redirects, and the health of the server."""

from __future__ import annotations

import html

from . import VERSION
from .app import App, Response, answer

HTML = [("Content-Type", "text/html; charset=UTF-8")]


def redirect(target: str, status: int) -> Response:
    return Response(status, b"", [("Location", target)])


def text(content: str, status: int = 200) -> Response:
    return Response(status, content.encode(), [("Content-Type", "text/plain; version=0.0.4")])


def page(content: str, status: int = 200) -> Response:
    whole = (
        "<!doctype html><title>Grafana stand-in</title><h1>Grafana stand-in</h1>"
        f"<p>This is not Grafana, but a double of it for tests ({VERSION}).</p>"
        f"<p>{html.escape(content)}</p>"
    )
    return Response(status, whole.encode(), list(HTML))


def health(app: App) -> Response:
    healthy = app.database.healthy()
    content = {
        "database": "ok" if healthy else "failing", "version": VERSION, "commit": "none",
        "standIn": True,
    }  # fmt: skip
    return answer(content, 200 if healthy else 503)
