"""Serves what the last collection rendered, from one thread, to a bounded number of clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from asyncio import sslproto
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from lookout.kit.options import TlsOptions
from lookout.kit.program import ProgramError
from lookout.kit.tls import Certificates
from lookout.sensor.answers import Shown, chosen, refusal

log = logging.getLogger("lookout.sensor")

# Each takes some 100 kB under TLS, and a slow one as much again.
MOST_CONNECTIONS = 64
MOST_HEAD_BYTES = 8192
# What asyncio reads at once under TLS. It keeps a buffer of this size for each connection, 256 KiB
# where nobody says otherwise: 16 MB for all of them.
READ_BYTES = 16_384
HANDSHAKE_SECONDS = 5.0
# From the first byte of a request to its last, and from the answer to its end
CLIENT_SECONDS = 10.0
# Longer than most scrape intervals: Prometheus keeps its connection.
IDLE_SECONDS = 90.0
ANSWERS_SECONDS = 10.0
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class Server:
    """Takes connections in a thread of its own."""

    def __init__(
        self, address: str, port: int, tls: TlsOptions | None, registry: CollectorRegistry
    ) -> None:
        """Raises OSError where the port is taken or a file of TLS cannot be read."""
        self._certificates = Certificates(tls) if tls else None
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family, backlog=128)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.shown = Shown(b"", lambda: "")
        self.scrapes = Histogram(
            "sensor_scrape_duration_seconds",
            "From a request for the metrics to its answer.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "sensor_connections_refused", "Connections beyond the bound.", registry=registry
        )
        connections = Gauge("sensor_connections", "Connections at the moment.", registry=registry)
        self._places: set[object] = set()
        connections.set_function(lambda: len(self._places))
        self._open: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="server", daemon=True)

    def start(self) -> None:
        """Begin to take connections."""
        self._thread.start()
        self._ready.wait(ANSWERS_SECONDS)

    def ask(self) -> None:
        """Have the thread do nothing. Raises ProgramError where it is gone or hangs."""
        if self._loop and self._thread.is_alive():
            waiting = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop)
            with contextlib.suppress(TimeoutError):
                waiting.result(ANSWERS_SECONDS)
                return
        raise ProgramError("the server is gone or hangs: the program ends, and is started again")

    def stop(self) -> None:
        """End all connections and the thread."""
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._main.cancel)
            self._thread.join(3)

    def knows(self, certificate: Any) -> bool:
        """Whether a client may ask."""
        return self._certificates is None or self._certificates.knows(certificate)

    def _work(self) -> None:
        sslproto.SSLProtocol.max_size = READ_BYTES
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- asyncio.run gives one
        self._main = task
        self._ready.set()
        begun: set[asyncio.Task[None]] = set()
        sweeping = asyncio.create_task(self._sweep())
        try:
            while True:
                try:
                    client, _ = await self._loop.sock_accept(self._socket)
                except OSError as error:
                    log.warning("no connection can be taken: %s", error)
                    await asyncio.sleep(1)
                    continue
                if len(self._places) >= MOST_CONNECTIONS:
                    self._refused.inc()
                    client.close()
                    continue
                place = object()
                self._places.add(place)
                taking = asyncio.create_task(self._take(client, place))
                begun.add(taking)
                taking.add_done_callback(begun.discard)
        finally:
            sweeping.cancel()
            self._socket.close()
            for connection in [*self._open]:
                connection.end()

    async def _take(self, client: socket.socket, place: object) -> None:
        """The handshake, which a slow client may take its time for."""
        loop = asyncio.get_running_loop()
        tls = self._certificates.fresh() if self._certificates else None
        try:
            await loop.connect_accepted_socket(
                lambda: Connection(self, place),
                client,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
                ssl_shutdown_timeout=1 if tls else None,
            )
        except OSError as error:
            self._places.discard(place)
            log.debug("a client went away: %s", error)

    def opened(self, connection: Connection) -> None:
        """Watch over a connection."""
        self._open.add(connection)

    def closed(self, connection: Connection, place: object) -> None:
        """Somebody else may have its place."""
        self._open.discard(connection)
        self._places.discard(place)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for connection in [one for one in self._open if one.deadline < now]:
                connection.end()


class Connection(asyncio.Protocol):
    """One client, who may ask several times, one after the other."""

    def __init__(self, server: Server, place: object) -> None:
        self._server = server
        self._place = place
        self._waiting = bytearray()
        self._blocked = False
        self._last = False
        self.deadline = time.monotonic() + CLIENT_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or not."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- of TCP
        self._transport = transport
        self._server.opened(self)
        if not self._server.knows(transport.get_extra_info("peercert")):
            log.debug("a client's certificate is not one of those that may ask")
            self.end()
            return
        # Whoever does not take the answer gets no second one.
        transport.set_write_buffer_limits(high=1, low=0)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Give the place back."""
        self._server.closed(self, self._place)

    def end(self) -> None:
        """At once: whoever is slow is not waited for."""
        self._transport.abort()

    def pause_writing(self) -> None:
        """The client is slower than we are.

        Reading goes on: asyncio sends what TLS has to send when it reads. What piles up is bounded.
        """
        self._blocked = True

    def resume_writing(self) -> None:
        """It has taken all."""
        self._blocked = False
        if not self._transport.is_closing():
            self._next()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        if self._last:
            return
        if not self._waiting:
            self.deadline = time.monotonic() + CLIENT_SECONDS
        self._waiting += data
        self._next()

    def _next(self) -> None:
        while not self._blocked and not self._last:
            end = self._waiting.find(b"\r\n\r\n")
            if end < 0:
                break
            began = time.perf_counter()
            head = bytes(self._waiting[: end + 2])
            del self._waiting[: end + 4]
            said, goes_on, is_scrape = chosen(head, self._server.shown)
            self._transport.write(said)
            if not goes_on:
                self._close()
            # Begun requests have their own time.
            self.deadline = time.monotonic() + (
                CLIENT_SECONDS if self._blocked or self._waiting or self._last else IDLE_SECONDS
            )
            if is_scrape:
                self._server.scrapes.observe(time.perf_counter() - began)
        if len(self._waiting) > MOST_HEAD_BYTES and not self._last:
            said = refusal("431 Request Header Fields Too Large", "the request is too long\n")
            self._transport.write(said)
            self._close()

    def _close(self) -> None:
        """No further request is answered; the deadline holds for what is on its way."""
        self._last = True
        self._waiting.clear()
        self.deadline = time.monotonic() + CLIENT_SECONDS
        self._transport.close()
