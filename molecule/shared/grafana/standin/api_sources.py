"""Endpoints about data sources: what they are, and questions to them."""

from __future__ import annotations

import time
from typing import Any

from . import queries
from .app import App, RefusalError, Request, Response, answer, done, route
from .database import Row
from .log import Logger
from .secrets_store import WrongKeyError
from .sources import POSTS, SourceError

LOG = Logger("context")


def _source(app: App, uid: str, key: str = "uid") -> Row:
    row = app.sources.by(key, uid)
    if not row:
        raise RefusalError(404, "Data source not found")
    return row


@route("GET", "/api/datasources", "Viewer", "datasources:read")
def sources(app: App, _: Request) -> Response:
    return answer([app.sources.shown(row, whole=False) for row in app.sources.all()])


@route("POST", "/api/datasources", "Admin", "datasources:create")
def create_source(app: App, request: Request) -> Response:
    given = request.json()
    if not given.get("name") or not given.get("type"):
        raise RefusalError(400, "bad request data")
    try:
        row = app.sources.save(given, read_only=False, prunable=False, known=None)
    except SourceError as error:
        raise RefusalError(409, str(error)) from None
    return done(
        "Datasource added",
        id=row["id"],
        name=row["name"],
        datasource=app.sources.shown(row, whole=True),
    )


@route("GET", "/api/datasources/uid/:uid", "Viewer", "datasources:read")
def source(app: App, _: Request, uid: str) -> Response:
    return answer(app.sources.shown(_source(app, uid), whole=True))


@route("GET", "/api/datasources/name/:name", "Viewer", "datasources:read")
def source_by_name(app: App, _: Request, name: str) -> Response:
    return answer(app.sources.shown(_source(app, name, "name"), whole=True))


@route("PUT", "/api/datasources/uid/:uid", "Admin", "datasources:write")
def change_source(app: App, request: Request, uid: str) -> Response:
    row = _source(app, uid)
    if row["read_only"]:
        raise RefusalError(403, "Cannot update read-only data source")
    saved = app.sources.save(
        {"uid": uid, **request.json()}, read_only=False, prunable=False, known=row
    )
    return done(
        "Datasource updated",
        id=row["id"],
        name=saved["name"],
        datasource=app.sources.shown(saved, whole=True),
    )


@route("DELETE", "/api/datasources/uid/:uid", "Admin", "datasources:delete")
def delete_source(app: App, _: Request, uid: str) -> Response:
    row = _source(app, uid)
    if row["read_only"]:
        raise RefusalError(403, "Cannot delete read-only data source")
    app.sources.delete(row["name"])
    return done("Data source deleted", id=row["id"])


@route("GET", "/api/datasources/uid/:uid/health", "Viewer", "datasources:query")
def source_health(app: App, _: Request, uid: str) -> Response:
    row = _source(app, uid)
    status, content = queries.health(app.sources, row)
    app.metrics.source_request(row["name"], row["type"], status)
    return answer(content, status)


@route("GET|POST|PUT|DELETE", "/api/datasources/proxy/uid/:uid/*", "Viewer", "datasources:query")
def proxy(app: App, request: Request, uid: str, rest: str) -> Response:
    row = _source(app, uid)
    if request.method == "POST" and row["type"] == "prometheus" and rest.strip("/") not in POSTS:
        raise RefusalError(
            403, "non allow-listed POSTs not allowed on proxied Prometheus datasource"
        )
    # As Alertmanager's plugin.json has it: who may only see things, silences nothing.
    writes = request.method != "GET" and row["type"] == "alertmanager"
    if writes and not request.user.has("Editor"):
        raise RefusalError(403, "plugin proxy route access denied")
    try:
        said = app.sources.fetch(
            row, rest, request.raw_query, method=request.method, body=request.body or None,
            content_type=request.headers.get("content-type", ""),
        )  # fmt: skip
    except (SourceError, WrongKeyError) as error:
        LOG.error("Data proxy error", datasource=row["name"], error=error)
        raise RefusalError(502, "Bad Gateway") from None
    app.metrics.source_request(row["name"], row["type"], said.status)
    kept = [(k, v) for k, v in said.headers if k.lower() in ("content-type", "content-encoding")]
    return Response(said.status, said.body, kept)


@route("POST", "/api/ds/query", "Viewer", "datasources:query")
def query(app: App, request: Request) -> Response:
    """Every query's frames by its refId; 400 as a whole when one of them failed."""
    given, at = request.json(), time.time()
    try:
        start = queries.moment(str(given.get("from") or "now-1h"), at)
        end = queries.moment(str(given.get("to") or "now"), at)
    except ValueError:
        raise RefusalError(400, "invalid time range") from None
    if not given.get("queries"):
        raise RefusalError(400, "No queries found in query")
    results: dict[str, Any] = {}
    for item in given["queries"]:
        ref, where = str(item.get("refId", "A")), item.get("datasource") or {}
        row = _source(app, str(where.get("uid") if isinstance(where, dict) else where))
        try:
            results[ref] = {
                "status": 200,
                "frames": queries.run(app.sources, row, item, start, end),
            }
        except (SourceError, WrongKeyError) as error:
            LOG.error("Query failed", datasource=row["name"], error=error)
            results[ref] = {"error": str(error), "errorSource": "downstream", "status": 400}
        app.metrics.source_request(row["name"], row["type"], results[ref]["status"])
    failed = any("error" in result for result in results.values())
    return answer({"results": results}, 400 if failed else 200)
