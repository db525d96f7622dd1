"""Metrics of an agent: a server that Prometheus scrapes, or a file for the node exporter."""

from __future__ import annotations

import contextlib
import http.server
import logging
import socket
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lookout.kit.files import write_atomically
from lookout.kit.options import MetricsOptions
from lookout.kit.tls import Certificates

log = logging.getLogger("lookout.kit.metrics")

# Several Prometheus and a person; more wait for their turn in the kernel's queue.
MOST_AT_ONCE = 8
# From the connection to its end: whoever takes longer loses his place, however busy he looks.
CLIENT_SECONDS = 10.0
# Who finds no place for so long is refused, and asks again.
PLACE_SECONDS = 1.0


def write_textfile(registry: CollectorRegistry, path: Path) -> None:
    """Write all metrics of the registry for the node exporter, which reads others' files."""
    write_atomically(path, generate_latest(registry), 0o644)


def serve(registry: CollectorRegistry, options: MetricsOptions) -> MetricsServer | None:
    """A server that answers in threads of its own, until it is closed; None where none is wanted.

    Raises OSError where the port is taken or a file of TLS cannot be read.
    """
    if not options.port:
        return None
    server = MetricsServer(registry, options)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class MetricsServer(http.server.ThreadingHTTPServer):
    """GET /metrics, for a few clients at once."""

    daemon_threads = True
    # Their threads end by themselves; waiting for them would hold up the end of the agent.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, registry: CollectorRegistry, options: MetricsOptions) -> None:
        self.registry = registry
        self._tls = Certificates(options.tls) if options.tls else None
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__((options.address, options.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for a free place, then answer in a thread."""
        if not self._free.acquire(timeout=PLACE_SECONDS):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # No thread to be had
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake is in the client's thread, where it holds up nobody else."""
        request.settimeout(CLIENT_SECONDS)
        # The connection by another descriptor: TLS takes the first one over.
        connection = request.dup()
        deadline = threading.Timer(CLIENT_SECONDS, _cut, [connection])
        deadline.daemon = True
        deadline.start()
        try:
            if self._tls:
                request = self._tls.accept(request)
            _Handler(request, client_address, self)
        except OSError as error:
            log.debug("a client of the metrics went away: %s", error)
        finally:
            deadline.cancel()
            request.close()
            connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Keep a trace in the log instead of on standard error."""
        log.exception("a request for metrics failed")


def _cut(connection: socket.socket) -> None:
    """End a connection, so that whoever reads from it or writes to it goes on with an error."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MetricsServer
    protocol_version = "HTTP/1.1"
    server_version = "lookout"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the metrics as they are."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, b"the metrics are at /metrics\n", "text/plain")
            return
        self._answer(HTTPStatus.OK, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        # One request a connection, so that a kept one does not hold one of the few places.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are of interest to nobody but who looks for a mistake."""
        log.debug(format, *args)
