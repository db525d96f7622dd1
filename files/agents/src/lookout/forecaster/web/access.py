"""Who is let in: a token in every request, but for the metrics and a sign of life."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from lookout.kit.web.answers import problem
from lookout.kit.web.server import Asgi
from lookout.tokens.gate import Gate, Refusal
from lookout.tokens.slots import Scope

# Prometheus shows its certificate, and the gateway leads nobody there.
OPEN = ("/metrics", "/api/v1/health")
READS = ("GET", "HEAD", "OPTIONS")
# What a person sees who comes here with a browser, as from the portal
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Forecasts</title>
</head>
<body>
<h1>Forecasts are for programs here</h1>
<p>People find them on the dashboard <em>ML Insights</em> in Grafana.</p>
<p>A program needs a token. On the host that makes the forecasts, root makes one:</p>
<pre>lookout-token create NAME</pre>
<p>With it, <code>api/v1/openapi.json</code> below this address says what can be asked for:</p>
<pre>curl -H "Authorization: Bearer $TOKEN" https://.../api/v1/openapi.json</pre>
</body>
</html>
"""


def guarded(app: Asgi, gate: Gate) -> Asgi:
    """Ask the gate before anything else, also whether there is such a path."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            wanted: Scope = "read" if scope["method"] in READS else "train"
            said = await run_in_threadpool(gate.ask, token(scope), wanted, address(scope))
            if isinstance(said, Refusal):
                browser = any("text/html" in kinds for kinds in given(scope, b"accept"))
                await refused(said, wanted, browser=browser)(scope, receive, send)
                return
            scope.setdefault("state", {})["client"] = said.client
        await app(scope, receive, send)

    return answer


def given(scope: Any, name: bytes) -> list[str]:
    """The values of a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def token(scope: Any) -> str | None:
    """The token of a request; of two there is none."""
    values = given(scope, b"authorization")
    if len(values) != 1:
        return None
    kind, _, value = values[0].strip().partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def address(scope: Any) -> str:
    """Where it comes from, as the gateway says; nobody else but the site's own gets here."""
    values = given(scope, b"x-real-ip")
    client = scope.get("client")
    return values[0][:64] if values else str(client[0] if client else "")


def refused(refusal: Refusal, wanted: Scope, *, browser: bool) -> Response:
    """The answer to who is not let in (RFC 6750)."""
    if refusal.reason == "limited":
        return problem(429, refusal.said, {"Retry-After": str(refusal.retry_seconds)})
    if refusal.reason == "scope":
        challenge = f'Bearer realm="lookout", error="insufficient_scope", scope="{wanted}"'
        return problem(403, refusal.said, {"WWW-Authenticate": challenge})
    challenge = 'Bearer realm="lookout"'
    if refusal.reason == "missing" and browser:
        return HTMLResponse(PAGE, 401, {"WWW-Authenticate": challenge})
    if refusal.reason != "missing":
        challenge += ', error="invalid_token"'
    return problem(401, refusal.said, {"WWW-Authenticate": challenge})


def counted(app: Asgi, registry: CollectorRegistry) -> Asgi:
    """Count answers by their status."""
    requests = Counter(
        "lookout_api_requests", "Requests that were answered.", ["code"], registry=registry
    )

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def count(message: Any) -> None:
            if message["type"] == "http.response.start":
                requests.labels(str(message["status"])).inc()
            await send(message)

        await app(scope, receive, count if scope["type"] == "http" else send)

    return answer
