"""What answers have in common: errors in one form, and what keeps a browser on its side."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response

from lookout.kit.web.server import Asgi

HEADERS = {
    b"content-security-policy": b"default-src 'none'; style-src 'self'; img-src 'self';"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
}


class Problem(JSONResponse):  # type: ignore[misc]
    """An error as RFC 9457 has it."""

    media_type = "application/problem+json"


def problem(status: int, detail: str, headers: Any = None) -> Response:
    """Answer with an error."""
    title = HTTPStatus(status).phrase
    return Problem({"title": title, "status": status, "detail": detail}, status, headers)


def moment(seconds: float | None) -> str | None:
    """A time as RFC 3339 has it, in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def secured(app: Asgi) -> Asgi:
    """Add to each answer what keeps a browser from doing more than showing the page."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in HEADERS.items() if name not in given),
                    *([(b"cache-control", b"no-store")] if b"cache-control" not in given else []),
                ]
            await send(message)

        await app(scope, receive, add if scope["type"] == "http" else send)

    return answer
