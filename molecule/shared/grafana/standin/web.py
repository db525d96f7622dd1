"""The open port: where it listens, and its TLS."""

from __future__ import annotations

import http.server
import os
import socket
import ssl
import time
from pathlib import Path

from .app import App
from .handler import Handler
from .ini import RefusedError
from .log import Logger
from .settings import Settings

LOG = Logger("http.server")


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS as the settings have it; `protocol` is https, h2, or plain HTTP whatever else it says."""
    if settings.text("server", "protocol") not in ("https", "h2"):
        return None
    files = {key: settings.text("server", key) for key in ("cert_file", "cert_key")}
    for key, file in files.items():
        if not file:
            raise RefusedError(f"{key} cannot be empty when using HTTPS")
        if not os.path.exists(file):  # False as well where we may not look
            raise RefusedError(f"cannot find SSL {key} at {file!r}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    newest = settings.text("server", "min_tls_version", "TLS1.2") == "TLS1.3"
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest else ssl.TLSVersion.TLSv1_2
    try:
        with open(files["cert_key"], "rb"), open(files["cert_file"], "rb"):
            context.load_cert_chain(files["cert_file"], files["cert_key"])
    except (OSError, ssl.SSLError) as error:
        raise RefusedError(f"could not load SSL certificate: {error}") from None
    return context


class Server(http.server.ThreadingHTTPServer):
    """Listens where the settings say, a thread a connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, app: App) -> None:
        self.app = app
        self.tls = tls_context(app.settings)
        self._watched = self._modified()
        self._interval = app.settings.duration("server", "certs_watch_interval")
        self._look_at = time.monotonic() + self._interval
        host = app.settings.text("server", "http_addr")
        port = app.settings.text("server", "http_port", "3000")
        if not host and socket.has_dualstack_ipv6():
            host = "::"
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, int(port)), Handler)
        except (OSError, ValueError, OverflowError) as error:
            raise RefusedError(
                f"failed to open listener on address {host}:{port}: {error}"
            ) from None

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not the base class's, which asks the name service for our own name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = self.socket.accept()
        if self.tls:  # the handshake itself is the thread's
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def _modified(self) -> list[float]:
        files = [self.app.settings.text("server", key) for key in ("cert_file", "cert_key")]
        return [Path(file).stat().st_mtime for file in files if self.tls and os.path.exists(file)]

    def service_actions(self) -> None:
        """Take a renewed certificate, where `certs_watch_interval` says how often to look."""
        if not self.tls or not self._interval or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + self._interval
        if self._modified() == self._watched:
            return
        try:
            self.tls = tls_context(self.app.settings)
            self._watched = self._modified()
            LOG.info("Server certificates updated")
        except RefusedError as error:
            LOG.error("Could not load the renewed certificate", error=error)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """The base class writes a traceback for a handshake that fails or a client that leaves."""
        LOG.debug("connection ended", remote_addr=client_address)


def write_pid(path: str) -> None:
    if path:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(f"{os.getpid()}", encoding="ascii")
        except OSError as error:
            raise RefusedError(f"failed to write pidfile: {error}") from None
