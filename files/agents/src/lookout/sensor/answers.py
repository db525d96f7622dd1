"""Answers of HTTP/1.1: made once a collection, and chosen for each request."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable

from prometheus_client.exposition import CONTENT_TYPE_LATEST

COMPRESSED = re.compile(
    rb"\r\naccept-encoding:[^\r\n]*\bgzip\b(?!\s*;\s*q=0(?:\.0*)?[\s,\r])", re.I
)
CLOSE = re.compile(rb"\r\nconnection:[^\r\n]*\bclose\b", re.I)
BODY = re.compile(rb"\r\n(?:transfer-encoding:|content-length:\s*0*[1-9])", re.I)
PAGE_HEADERS = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)


def answer(status: str, kind: str, body: bytes, *headers: tuple[str, str]) -> bytes:
    """A whole answer of HTTP/1.1."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def refusal(status: str, text: str) -> bytes:
    """An answer after which the connection ends."""
    return answer(status, "text/plain; charset=utf-8", text.encode(), ("Connection", "close"))


class Shown:
    """What one collection left to serve. The page is drawn when somebody first asks for it."""

    def __init__(self, metrics: bytes, page: Callable[[], str]) -> None:
        vary = ("Vary", "Accept-Encoding")
        self.metrics = answer("200 OK", CONTENT_TYPE_LATEST, metrics, vary)
        self.compressed = answer(
            "200 OK",
            CONTENT_TYPE_LATEST,
            gzip.compress(metrics, 1, mtime=0),
            vary,
            ("Content-Encoding", "gzip"),
        )
        self._draw = page
        self._page: bytes | None = None

    def page(self) -> bytes:
        """The page, the same for everybody until the next collection."""
        if self._page is None:
            self._page = answer(
                "200 OK", "text/html; charset=utf-8", self._draw().encode(), *PAGE_HEADERS
            )
        return self._page


def chosen(head: bytes, shown: Shown) -> tuple[bytes, bool, bool]:
    """The answer to a request; whether the connection goes on, and whether it was a scrape."""
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):  # noqa: PLR2004
        return refusal("400 Bad Request", "this is not HTTP\n"), False, False
    method, target, version = words
    if method not in (b"GET", b"HEAD") or BODY.search(head):
        said = refusal("405 Method Not Allowed", "there is nothing but GET and HEAD\n")
        return said, False, False
    path = target.partition(b"?")[0]
    if path == b"/metrics":
        whole = shown.compressed if COMPRESSED.search(head) else shown.metrics
    elif path == b"/":
        whole = shown.page()
    else:
        return refusal("404 Not Found", "there is / and /metrics\n"), False, False
    if method == b"HEAD":
        whole = whole[: whole.index(b"\r\n\r\n") + 4]
    goes_on = version != b"HTTP/1.0" and not CLOSE.search(head)
    return whole, goes_on, path == b"/metrics"
