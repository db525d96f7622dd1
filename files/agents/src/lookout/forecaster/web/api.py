"""What programs ask: series, forecasts, anomalies, models, and for a training."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lookout.forecaster.book import Book, Pages, dumped
from lookout.forecaster.files import files
from lookout.forecaster.options import NAME, ForecasterOptions
from lookout.forecaster.requests import ID, Requests, TooManyError, TrainRequest
from lookout.forecaster.web.openapi import DEFAULT, MOST, document

MOST_BYTES = 16_384
WAIT = {"Retry-After": "60"}


class Api:
    """All below /api/v1/."""

    def __init__(self, options: ForecasterOptions, clock: Callable[[], float]) -> None:
        self._options, self._clock = options, clock
        paths = files(options)
        self._forecasts, self._trainings = Book(paths.forecasts), Book(paths.trainings)
        self._requests = Requests(paths.requests)

    def routes(self) -> list[Route]:
        """Every path, and what describes it."""
        base = "/api/v1"
        return [
            Route(f"{base}/openapi.json", self.openapi),
            Route(f"{base}/series", self.series),
            Route(f"{base}/series/{{id}}", self.one_series),
            Route(f"{base}/forecast/{{id}}", self.forecast),
            Route(f"{base}/anomalies", self.anomalies),
            Route(f"{base}/models", self.models),
            Route(f"{base}/models/{{id}}", self.model),
            # One route: of two, only the methods of the first are told to who asks with a third.
            Route(f"{base}/train", self.asked_for, methods=["GET", "POST"]),
            Route(f"{base}/train/{{id}}", self.training),
        ]

    def is_fresh(self) -> bool:
        """Whether the forecasts are of now."""
        pages = self._forecasts.pages()
        return pages is not None and self._fresh(pages)

    def _fresh(self, pages: Pages) -> bool:
        # One that was made ahead was made by a clock that was wrong.
        return bool(abs(self._clock() - pages.head["made"]) <= self._options.stale_seconds)

    def _made(self) -> tuple[Pages, bytes]:
        """The forecasts, and what an answer from them begins with."""
        pages = self._forecasts.pages()
        if pages is None:
            raise HTTPException(503, "no forecast has been made yet", WAIT)
        head = {"made": pages.head["made"], "stale": not self._fresh(pages)}
        return pages, dumped(head)[:-1]

    def _trained(self) -> tuple[Pages, bytes]:
        """The trainings, and what an answer from them begins with."""
        pages = self._trainings.pages()
        if pages is None:
            raise HTTPException(503, "no model has been trained yet", WAIT)
        succeeded = min(pages.head.get("queries", {}).values(), default=0.0)
        head = {"trained": pages.head["ended"], "succeeded": succeeded}
        return pages, dumped(head)[:-1]

    def openapi(self, request: Request) -> Response:
        """The description of all this."""
        asked(request)
        return tagged(request, dumped(document()))

    def series(self, request: Request) -> Response:
        """All series with what is known of them now."""
        pages, head = self._made()
        return self._page(request, pages, head, "series")

    def one_series(self, request: Request) -> Response:
        """One series."""
        asked(request)
        pages, head = self._made()
        return tagged(request, head + b',"series":' + found(pages, request) + b"}")

    def forecast(self, request: Request) -> Response:
        """One series with its forecast, step by step."""
        asked(request)
        pages, head = self._made()
        summary, path = found(pages, request), found(pages, request, 1)
        return tagged(request, head + b',"series":' + summary + b',"path":' + path + b"}")

    def anomalies(self, request: Request) -> Response:
        """Anomalies of the last season, the newest first."""
        name, limit = self._group(request), number(request)
        asked(request, "series", "limit")
        pages, head = self._made()
        kept = [one for one in pages.head["anomalies"] if name in (None, one["series"])]
        return tagged(request, head + b',"anomalies":' + dumped(kept[:limit]) + b"}")

    def models(self, request: Request) -> Response:
        """All models with how good they are, and what became of the last training."""
        pages, head = self._trained()
        return self._page(request, pages, head, "models")

    def model(self, request: Request) -> Response:
        """One model."""
        asked(request)
        pages, head = self._trained()
        return tagged(request, head + b',"model":' + found(pages, request) + b"}")

    def _page(self, request: Request, pages: Pages, head: bytes, what: str) -> Response:
        name, limit = self._group(request), number(request)
        after = request.query_params.get("after", "")
        asked(request, "series", "limit", "after")
        if after and not re.fullmatch(ID, after, re.ASCII):
            raise HTTPException(400, "after must be the id that the page before said is next")
        ids = [one for one in pages.ids(name) if one > after]
        parts = [pages.part(one) or b"null" for one in ids[:limit]]
        following = dumped(ids[limit - 1] if len(ids) > limit else None)
        listed = b',"' + what.encode() + b'":[' + b",".join(parts) + b'],"next":' + following
        return tagged(request, head + listed + b"}")

    def _group(self, request: Request) -> str | None:
        name: str | None = request.query_params.get("series")
        if name is not None and not re.fullmatch(NAME, name, re.ASCII):
            raise HTTPException(400, "series must be a name of the configuration")
        if name is not None and name not in self._options.series:
            raise HTTPException(404, "no series has this name")
        return name

    async def asked_for(self, request: Request) -> Response:
        """Trainings that were asked for, or another one."""
        if request.method == "POST":
            return await self.train(request)
        listed: Response = await run_in_threadpool(self.trainings, request)
        return listed

    def trainings(self, request: Request) -> Response:
        """Trainings that were asked for, the newest first."""
        asked(request)
        return tagged(
            request, dumped({"trainings": [shown(one) for one in self._requests.all()[::-1]]})
        )

    def training(self, request: Request) -> Response:
        """One of them."""
        asked(request)
        one = self._requests.get(request.path_params["id"])
        if one is None:
            raise HTTPException(404, "no such training was asked for, or it was long ago")
        return tagged(request, dumped(shown(one)))

    async def train(self, request: Request) -> Response:
        """Ask for a training; it begins within a minute or two."""
        asked(request)
        names = self._named(await body_of(request))
        try:
            one = await run_in_threadpool(
                self._requests.submit, request.state.client, names, self._clock()
            )
        except TooManyError as error:
            raise HTTPException(429, str(error), WAIT) from None
        except OSError as error:
            raise HTTPException(503, f"it cannot be kept: {error.strerror}", WAIT) from None
        # Relative, as the path on the gateway is not known here
        return JSONResponse(shown(one), 202, {"Location": f"train/{one.id}"})

    def _named(self, body: bytes) -> tuple[str, ...]:
        if not body:
            return ()
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            raise HTTPException(400, "this is no JSON") from None
        names = said.get("series", []) if isinstance(said, dict) else None
        if (
            not isinstance(names, list)
            or set(said) - {"series"}
            or not all(isinstance(name, str) for name in names)
        ):
            raise HTTPException(400, 'what is wanted is {"series": [names]}, or nothing')
        unknown = [name for name in names if name not in self._options.series]
        if unknown:
            raise HTTPException(404, f"no series is called {unknown[0][:60]!r}")
        return tuple(dict.fromkeys(names))


async def body_of(request: Request) -> bytes:
    """The body of a request, of JSON and not too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"it has at most {MOST_BYTES} bytes")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        raise HTTPException(415, "send application/json", {"Accept-Post": "application/json"})
    return body


def asked(request: Request, *known: str) -> None:
    """Nothing is asked that would be passed over in silence."""
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            raise HTTPException(400, f"there is no parameter {name[:60]!r} here")
        if given.count(name) > 1:
            raise HTTPException(400, f"{name} is given twice")


def number(request: Request) -> int:
    """How much is answered at most."""
    given = request.query_params.get("limit")
    if given is None:
        return DEFAULT
    if not re.fullmatch(r"[0-9]{1,4}", given, re.ASCII) or not 1 <= int(given) <= MOST:
        raise HTTPException(400, f"limit must be a number from 1 to {MOST}")
    return int(given)


def found(pages: Pages, request: Request, number: int = 0) -> bytes:
    """A part of the entry that the path names."""
    part = pages.part(request.path_params["id"], number)
    if part is None:
        raise HTTPException(404, "there is no series of this id")
    return part


def shown(request: TrainRequest) -> dict[str, Any]:
    """A request for a training as it is answered."""
    return {**asdict(request), "series": [*request.series]}


def tagged(request: Request, body: bytes) -> Response:
    """An answer that need not be sent again to who has it already (RFC 9110, 13.1.2)."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    held = [one.strip().removeprefix("W/") for one in
            request.headers.get("if-none-match", "").split(",")]  # fmt: skip
    if tag in held or held == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
