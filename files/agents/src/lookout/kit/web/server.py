"""A web server in a thread, watched from the main loop of its agent."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from lookout.kit.options import MetricsOptions, TlsOptions
from lookout.kit.program import Kit
from lookout.kit.tls import context

LOG = logging.getLogger("lookout.kit.web")
Asgi = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]

LOOPBACK = "127.0.0.1"
STEP_SECONDS = 15
LOOK_SECONDS = 60
# A server that is up within this time takes requests.
START_SECONDS = 20
MOST_AT_ONCE = 64
# Longer than nginx keeps a connection that nobody uses: it never finds one closed.
KEEP_ALIVE_SECONDS = 75
# Of files alone; each costs memory.
THREADS = 4


def serve(app: Asgi, port: int, options: MetricsOptions, kit: Kit, look: Callable[[], None]) -> int:
    """Serve until a signal ends it, and `look` after one's own every minute.

    Address and certificates are those of the metrics, which `app` serves as well.
    """
    tls = options.tls
    server = Server(app, tls.client_name if tls else "")
    server.start(listen(options.address, port), context(tls) if tls else None)
    looked = 0.0
    certificates = changed(tls)

    def step() -> None:
        nonlocal looked, certificates
        # No time limit of its own: a server that hangs makes this step hang, and systemd ends both.
        server.ask()
        if time.monotonic() - looked >= LOOK_SECONDS:
            looked = time.monotonic()
            look()
        now = changed(tls)
        if tls and now != certificates and readable(tls):
            certificates = now
            LOG.info("the certificates were renewed")
            kit.reload()

    kit.loop(step, STEP_SECONDS)
    server.stop()
    return 0


def listen(address: str, port: int) -> list[socket.socket]:
    """Sockets that take connections, on loopback too, where a gateway on this host asks.

    Raises OSError where the port is taken.
    """
    taken = [
        socket.create_server((one, port), family=family_of(one), backlog=128)
        for one in sorted({address, LOOPBACK})
    ]
    for one in taken:
        # Inherited by what it accepts. asyncio does not see that these are TCP, and the second part
        # of an answer would wait for 40 ms.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken


def family_of(address: str) -> socket.AddressFamily:
    """IPv4 or IPv6, by the look of the address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def changed(tls: TlsOptions | None) -> tuple[int, ...]:
    """When the files of TLS changed last; empty where one is missing at the moment."""
    if tls is None:
        return ()
    try:
        return tuple(file.stat().st_mtime_ns for file in (tls.certificate, tls.key, tls.ca))
    except OSError:
        return ()


def readable(tls: TlsOptions) -> bool:
    """Whether the files fit each other; in the midst of a renewal they do not."""
    try:
        context(tls)
    except OSError as error:
        LOG.warning("the renewed certificate is not taken yet: %s", error)
        return False
    return True


class Server:
    """The web server in its thread; clients need a certificate with `client_name`, if it is set."""

    def __init__(self, app: Asgi, client_name: str) -> None:
        import uvicorn  # noqa: PLC0415 -- not where only the rest of this module is wanted

        from lookout.kit.web.protocol import protocol_for  # noqa: PLC0415

        self._loop: asyncio.AbstractEventLoop | None = None
        self._config = uvicorn.Config(
            app,
            http=protocol_for(client_name),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._server = uvicorn.Server(self._config)
        self._thread: threading.Thread | None = None

    def start(self, taken: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Begin to serve. Raises RuntimeError where that does not come about."""
        self._config.load()
        self._config.ssl = tls
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(taken)), name="web", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started and time.monotonic() < until and self._thread.is_alive():
            time.sleep(0.02)
        if not self._server.started:
            raise RuntimeError("the web server did not start")

    async def _serve(self, taken: list[socket.socket]) -> None:
        import anyio.to_thread  # noqa: PLC0415

        self._loop = asyncio.get_running_loop()
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        await self._server.serve(sockets=taken)

    def ask(self) -> None:
        """Have the loop of the server do something. Ends the program where there is no server."""
        if self._thread is None or not self._thread.is_alive() or self._loop is None:
            LOG.error("the web server is gone: the program ends, and is started again")
            raise SystemExit(1)
        asyncio.run_coroutine_threadsafe(_nothing(), self._loop).result()

    def stop(self) -> None:
        """End it; requests that are being answered have a moment."""
        self._server.should_exit = True
        if self._thread:
            self._thread.join(3)


async def _nothing() -> Any:
    """What a loop that lives gets done."""
    return None
