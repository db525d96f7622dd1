"""What all endpoints share: the parts of the server, a request, an answer, the table of routes."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from .accounts import Accounts, Identity, SignInError
from .database import Database
from .folders import Folders
from .metrics import Metrics
from .provisioning import Dashboards
from .settings import Settings
from .sources import Sources


@dataclass
class App:
    """The parts of the server."""

    settings: Settings
    database: Database
    accounts: Accounts
    sources: Sources
    folders: Folders
    dashboards: Dashboards
    metrics: Metrics


@dataclass
class Request:
    """One request, its path without the sub path, and who made it (or why nobody did)."""

    method: str
    path: str
    raw_query: str
    headers: dict[str, str]
    body: bytes
    who: Identity | None = None
    refused: SignInError | None = None

    def arguments(self, name: str) -> list[str]:
        return parse_qs(self.raw_query).get(name, [])

    def argument(self, name: str, default: str = "") -> str:
        return self.arguments(name)[0] if self.arguments(name) else default

    def json(self) -> dict[str, Any]:
        """The body; Refusal where it is no JSON object."""
        try:
            content = json.loads(self.body or b"{}")
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise RefusalError(400, "bad request data")
        return content

    @property
    def user(self) -> Identity:
        assert self.who is not None
        return self.who


@dataclass
class Response:
    """An answer."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)


class RefusalError(Exception):
    """An answer that is none: raised anywhere below a handler."""

    def __init__(self, status: int, message: str, **more: object) -> None:
        super().__init__(message)
        self.status, self.content = status, {"message": message, **more}


def answer(content: object, status: int = 200) -> Response:
    body = json.dumps(content).encode()
    return Response(status, body, [("Content-Type", "application/json; charset=UTF-8")])


def done(message: str, **more: object) -> Response:
    return answer({"message": message, **more})


def unauthorized(error: SignInError | None = None) -> Response:
    message = error.public if error else "Unauthorized"
    name = error.message_id if error else "auth.unauthorized"
    return answer({"message": message, "messageId": name, "statusCode": 401, "traceID": ""}, 401)


def denied(action: str) -> RefusalError:
    number = "".join(secrets.choice("0123456789") for _ in range(10))
    return RefusalError(
        403,
        f"You'll need additional permissions to perform this action. Permissions needed: {action}",
        title="Access denied",
        accessErrorId=f"ACE{number}",
    )


Handler = Callable[..., Response]


@dataclass(frozen=True)
class Route:
    """An endpoint: who may call it (`""`: whoever is signed in), and Grafana's name of the right."""

    method: str
    path: re.Pattern[str]
    template: str
    role: str
    action: str
    handler: Handler


ROUTES: list[Route] = []


def route(
    method: str, template: str, role: str = "", action: str = ""
) -> Callable[[Handler], Handler]:
    """Enter a handler; `:name` in the path is an argument of it, a final `*` the rest as `rest`."""
    pattern = re.sub(r":(\w+)", r"(?P<\1>[^/]+)", template.replace("*", "(?P<rest>.*)"))

    def enter(handler: Handler) -> Handler:
        ROUTES.extend(
            Route(one, re.compile(f"{pattern}/?"), template, role, action, handler)
            for one in method.split("|")
        )
        return handler

    return enter


def allowed(who: Identity, role: str) -> bool:
    if role == "server":
        return who.server_admin
    return not role or who.has(role)


def dispatch(app: App, request: Request) -> tuple[str, Response]:
    """Find the handler of a request, and answer; with the route's name for the metrics."""
    for found in ROUTES:
        match = found.path.fullmatch(request.path) if found.method == request.method else None
        if not match:
            continue
        if request.who is None:
            return found.template, unauthorized(request.refused)
        try:
            if not allowed(request.who, found.role):
                raise denied(found.action)
            return found.template, found.handler(app, request, **match.groupdict())
        except RefusalError as error:
            return found.template, answer(error.content, error.status)
    if request.who is None:
        return "notfound", unauthorized(request.refused)
    return "notfound", answer({"message": "Not found"}, 404)
