"""Scrapes as Prometheus does, over connections that are kept: `scrapes.py URL CLIENTS SCRAPES`.

Prints JSON: scrapes, failures, and p50 and p99 in milliseconds. One thread with `select` stands in
for all clients, so that what is measured is the server and not this program's own threads.
"""

from __future__ import annotations

import json
import selectors
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

TLS = "/etc/lookout/tls"
URL, CLIENTS, SCRAPES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PLACE = urlsplit(URL)
REQUEST = f"GET {PLACE.path} HTTP/1.1\r\nHost: {PLACE.netloc}\r\nAccept-Encoding: gzip\r\n\r\n"


class Client:
    """One connection, which asks again as soon as it has its answer."""

    def __init__(self, context: ssl.SSLContext) -> None:
        address = (PLACE.hostname or "", PLACE.port or 443)
        self.connection = socket.create_connection(address, timeout=10)
        if PLACE.scheme == "https":
            self.connection = context.wrap_socket(self.connection, server_hostname=PLACE.hostname)
        self.connection.setblocking(False)
        self.began = 0.0
        self.got = b""

    def ask(self) -> None:
        """Send a request."""
        self.began, self.got = time.perf_counter(), b""
        self.connection.send(REQUEST.encode())

    def complete(self) -> bool:
        """Read what is there; whether that is the whole answer."""
        try:
            while True:
                more = self.connection.recv(65536)
                if not more:
                    raise ConnectionError("the server ended it")
                self.got += more
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(head[:80].decode("latin-1"))
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return len(body) == int(length)


def main() -> None:
    """Scrape, and say how long it took."""
    context = ssl.create_default_context(cafile=f"{TLS}/ca.pem")
    context.load_cert_chain(f"{TLS}/client/fullchain.pem", f"{TLS}/client/privkey.pem")
    took: list[float] = []
    failed = 0
    with selectors.DefaultSelector() as waiting:
        for _ in range(CLIENTS):
            client = Client(context)
            waiting.register(client.connection, selectors.EVENT_READ, client)
            client.ask()
        while len(took) < SCRAPES and waiting.get_map():
            for key, _ in waiting.select(5):
                client = key.data
                try:
                    if client.complete():
                        took.append(time.perf_counter() - client.began)
                        client.ask()
                except OSError:
                    failed += 1
                    waiting.unregister(client.connection)
    took.sort()
    shown = {f"p{p}_ms": round(1000 * took[len(took) * p // 100], 3) for p in (50, 99)}
    print(json.dumps({"scrapes": len(took), "failed": failed, **shown}))


main()
