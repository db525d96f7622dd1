"""Puts page, API, webhook and metrics together, and answers what goes wrong."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lookout.kit.web.answers import problem, secured
from lookout.kit.web.server import Asgi
from lookout.status.options import StatusOptions
from lookout.status.service import History, Unavailable
from lookout.status.web.api import Api
from lookout.status.web.heartbeat import Webhook
from lookout.status.web.pages import Pages

LOG = logging.getLogger("lookout.status")


def application(options: StatusOptions, past: History, registry: CollectorRegistry) -> Asgi:
    """The whole as an ASGI application."""
    pages, api, webhook = Pages(options, past), Api(options, past), Webhook(options, past)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def wrong(request: Request, error: Exception) -> Response:
        status, said, headers = 500, "something went wrong here; the log knows more", None
        if isinstance(error, HTTPException):
            status, said, headers = error.status_code, str(error.detail), error.headers
        elif isinstance(error, Unavailable):
            status, said, headers = 503, str(error), {"Retry-After": "60"}
        if status == 500:  # noqa: PLR2004
            LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        path = request.url.path
        if path.startswith(("/api/", "/heartbeat/", "/metrics")):
            return problem(status, said, headers)
        return pages.wrong(status, said, path, headers)

    app = Starlette(
        routes=[
            Route("/metrics", metrics),
            *api.routes(),
            *webhook.routes(),
            *pages.routes(),
        ],
        exception_handlers={HTTPException: wrong, Unavailable: wrong, Exception: wrong},
    )
    # A redirect would leave out the gateway's path.
    app.router.redirect_slashes = False
    return secured(app)
