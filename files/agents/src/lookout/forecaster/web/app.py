"""Puts API and metrics together, and answers what goes wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lookout.forecaster.files import files
from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.web.access import counted, guarded
from lookout.forecaster.web.api import Api
from lookout.kit.web.answers import problem, secured
from lookout.kit.web.server import Asgi
from lookout.tokens.gate import Gate

LOG = logging.getLogger("lookout.forecaster")
FAILED = 500


def application(
    options: ForecasterOptions,
    gate: Gate,
    registry: CollectorRegistry,
    clock: Callable[[], float] = time.time,
) -> Asgi:
    """The whole as an ASGI application."""
    api, paths = Api(options, clock), files(options)

    def metrics(_: Request) -> Response:
        told = [paths.trainings_told, paths.run_told]
        # What is of yesterday is no forecast: no sample is better than a wrong one.
        if api.is_fresh():
            told.append(paths.forecasts_told)
        parts = [path.read_bytes() for path in told if path.exists()]
        return Response(generate_latest(registry) + b"".join(parts), media_type=CONTENT_TYPE_LATEST)

    def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def wrong(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return problem(error.status_code, str(error.detail), error.headers)
        LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        return problem(FAILED, "something went wrong here; the log knows more")

    app = Starlette(
        routes=[Route("/metrics", metrics), Route("/api/v1/health", health), *api.routes()],
        exception_handlers={HTTPException: wrong, Exception: wrong},
    )
    # A redirect would leave out the gateway's path, and lead the client with its token elsewhere.
    app.router.redirect_slashes = False
    return counted(secured(guarded(app, gate)), registry)
