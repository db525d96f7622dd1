"""Receivers for the alerts: a web server and a mail server on the containers' gateway."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).parent))
from hosts import connect
from site_tools import MailHandler, Received, webhook_handler


@pytest.fixture(scope="session")
def mon() -> Host:
    return connect("mon")


@pytest.fixture(scope="session")
def web() -> Host:
    return connect("web")


@pytest.fixture(scope="session")
def received(mon: Host) -> Iterator[Received]:
    """Both receivers, for as long as the tests run."""
    gateway = mon.check_output("getent hosts host.containers.internal").split()[0]
    received = Received()
    server = ThreadingHTTPServer((gateway, 18080), webhook_handler(received))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mail = Controller(MailHandler(received), hostname=gateway, port=18025)
    mail.start()
    yield received
    mail.stop()
    server.shutdown()
    server.server_close()
