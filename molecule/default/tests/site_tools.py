"""What the tests of the site share: receivers of alerts, questions to Prometheus, playbook runs."""

from __future__ import annotations

import email
import email.policy
import json
import time
import urllib.parse
from collections.abc import Callable
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hosts import CURL
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]


class Received:
    """What arrived, in order."""

    def __init__(self) -> None:
        self.webhooks: list[tuple[str, dict[str, Any]]] = []
        self.mails: list[EmailMessage] = []


class MailHandler:
    """aiosmtpd's handler."""

    def __init__(self, received: Received) -> None:
        self.received = received

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.received.mails.append(message)  # type: ignore[arg-type]
        return "250 OK"


def webhook_handler(received: Received) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.webhooks.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests look at what was received."""

    return Handler


def wait_for(what: Callable[[], Any], seconds: float, message: str) -> Any:
    """Return the first true answer of `what`; fail with `message` when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(1)
    pytest.fail(f"{message} (waited {seconds:.0f} s)")


def query(host: Host, promql: str) -> list[dict[str, Any]]:
    """The series that the site's Prometheus returns."""
    text = urllib.parse.urlencode({"query": promql})
    answer = json.loads(host.check_output(f"{CURL} 'https://127.0.0.1:9090/api/v1/query?{text}'"))
    assert answer["status"] == "success", answer
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result
