"""Serves the page in a thread, and watches it from the main loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from typing import Any

from lookout.kit.options import TlsOptions
from lookout.kit.program import Kit
from lookout.kit.tls import SaysWhy
from lookout.status import metrics, storage
from lookout.status.options import StatusOptions
from lookout.status.service import History

LOG = logging.getLogger("lookout.status")

LOOPBACK = "127.0.0.1"
STEP_SECONDS = 15
LOOK_SECONDS = 60
# A page that is up within this time takes requests.
START_SECONDS = 20
MOST_AT_ONCE = 64
# Longer than nginx keeps a connection that nobody uses: it never finds one closed.
KEEP_ALIVE_SECONDS = 75
# Of SQLite alone; each costs memory.
THREADS = 4


def serve(options: StatusOptions, kit: Kit) -> int:
    """Serve until a signal ends it."""
    # Whatever it is, the page says so and goes on.
    try:
        storage.ensure(options.database)
    except Exception as error:
        LOG.error("the history cannot be opened, the page goes on: %s", error)
    past = History(options.database, kit.registry, kit.reports.message)
    metrics.register(kit.registry, options, past)
    tls = options.metrics.tls
    page = Page(options, past, kit)
    page.start(listen(options.metrics.address, options.page.port), context(tls) if tls else None)
    looked = 0.0
    certificates = changed(tls)

    def step() -> None:
        nonlocal looked, certificates
        # No time limit of its own: a page that hangs makes this step hang, and systemd ends both.
        page.ask()
        if time.monotonic() - looked >= LOOK_SECONDS:
            looked = time.monotonic()
            past.look()
        now = changed(tls)
        if tls and now != certificates and readable(tls):
            certificates = now
            LOG.info("the certificates were renewed")
            kit.reload()

    kit.loop(step, STEP_SECONDS)
    page.stop()
    return 0


def listen(address: str, port: int) -> list[socket.socket]:
    """Sockets that take connections, on loopback too, where a gateway on this host asks.

    Raises OSError where the port is taken.
    """
    return [
        socket.create_server((one, port), family=family_of(one), backlog=128)
        for one in sorted({address, LOOPBACK})
    ]


def family_of(address: str) -> socket.AddressFamily:
    """IPv4 or IPv6, by the look of the address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def context(tls: TlsOptions) -> ssl.SSLContext:
    """TLS for clients that the site's CA has signed, and for nobody else."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls.ca))
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    made.sslobject_class = SaysWhy
    made.load_cert_chain(tls.certificate, tls.key)
    return made


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


class Page:
    """The web server in its thread."""

    def __init__(self, options: StatusOptions, past: History, kit: Kit) -> None:
        import uvicorn  # noqa: PLC0415 -- not where only the rest of this module is wanted

        from lookout.status.web.app import application  # noqa: PLC0415
        from lookout.status.web.protocol import protocol_for  # noqa: PLC0415

        name = options.metrics.tls.client_name if options.metrics.tls else ""
        self._past = past
        self._loop: asyncio.AbstractEventLoop | None = None
        self._config = uvicorn.Config(
            application(options, past, kit.registry),
            http=protocol_for(name),
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
            target=lambda: asyncio.run(self._serve(taken)), name="page", daemon=True
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
