"""The webhook of the dead man's switch: what Alertmanager posts again and again."""

from __future__ import annotations

import json
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lookout.status.options import StatusOptions
from lookout.status.records import add_heartbeat
from lookout.status.service import History

MOST_BYTES = 262_144


def is_alive(message: Any, alertname: str) -> bool:
    """Whether a message of Alertmanager's webhook says that the alert fires."""
    alerts = message.get("alerts") if isinstance(message, dict) else None
    if not isinstance(alerts, list):
        return False
    for alert in alerts:
        labels = alert.get("labels") if isinstance(alert, dict) else None
        if not isinstance(labels, dict):
            continue
        if labels.get("alertname") == alertname and alert.get("status") == "firing":
            return True
    return False


class Webhook:
    """Takes heartbeats, and writes when they came."""

    def __init__(self, options: StatusOptions, past: History) -> None:
        self._past = past
        self._expected = {
            name: str(entry.options.get("alertname", "Watchdog"))
            for name, entry in options.tasks.items()
            if entry.kind == "heartbeat"
        }

    def routes(self) -> list[Route]:
        """POST alone."""
        return [Route("/heartbeat/{name}", self.take, methods=["POST"])]

    async def take(self, request: Request) -> Response:
        """204 for the alert that is waited for; anything else is no heartbeat."""
        name = request.path_params["name"]
        if name not in self._expected:
            raise HTTPException(404, "nobody waits for this heartbeat")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise HTTPException(413, f"a heartbeat has at most {MOST_BYTES} bytes")
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise HTTPException(400, "this is no JSON") from None
        if not is_alive(message, self._expected[name]):
            raise HTTPException(422, f"the alert {self._expected[name]} does not fire in it")
        await run_in_threadpool(
            self._past.write, lambda connection: add_heartbeat(connection, name, time.time())
        )
        return Response(status_code=204)
