"""Asks a Prometheus, or a VictoriaMetrics, over HTTP; the standard library is enough."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from math import ceil, inf

from lookout.forecaster.answers import Answer, AnswerError
from lookout.forecaster.options import Source

# A whole answer may take so many times as long as one part of it.
WHOLE = 2.0
# Of the time that is left for all answers, the next one may take this part: one that does not come
# leaves some for those after it.
SHARE = 0.5
LEAST_SECONDS = 1.0


class SourceError(Exception):
    """Why a query has no answer; begins with the address."""


class Prometheus:
    """One of them. Neither a proxy of the environment nor a redirect leads elsewhere."""

    def __init__(self, source: Source, password: str = "", seconds: float = inf) -> None:
        """`seconds` are for all answers together; what is asked after that has none."""
        self._source, self._left = source, seconds
        self._headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if source.user:
            pair = base64.b64encode(f"{source.user}:{password}".encode()).decode("ascii")
            self._headers["Authorization"] = f"Basic {pair}"

    @contextlib.contextmanager
    def range(self, query: str, start: int, end: int, step: int) -> Iterator[Answer]:
        """Values every `step` seconds from `start` to `end`, both included. Raises SourceError."""
        with self._ask("query_range", query=query, start=start, end=end, step=step) as answer:
            yield answer

    @contextlib.contextmanager
    def instant(self, query: str, at: int) -> Iterator[Answer]:
        """Values of one moment. Raises SourceError."""
        with self._ask("query", query=query, time=at) as answer:
            yield answer

    @contextlib.contextmanager
    def _ask(self, path: str, **parameters: str | int) -> Iterator[Answer]:
        url = f"{self._source.url.rstrip('/')}/api/v1/{path}"
        if self._left < LEAST_SECONDS:
            raise SourceError(f"{url}: was not asked: answers before took too long")
        seconds = min(self._source.timeout_seconds, self._left * SHARE / WHOLE)
        began = time.monotonic()
        until = began + WHOLE * seconds
        # It gives up when nobody waits any more.
        form = urllib.parse.urlencode({**parameters, "timeout": f"{ceil(seconds)}s"}).encode()
        request = urllib.request.Request(url, data=form, headers=self._headers)  # noqa: S310
        try:
            with self._opener().open(request, timeout=seconds) as response:

                def read(size: int) -> bytes:
                    if time.monotonic() > until:
                        raise TimeoutError(f"its answer took more than {WHOLE * seconds:.0f} s")
                    return bytes(response.read1(size))

                yield Answer(read)
        except AnswerError as error:
            raise SourceError(f"{url}: its answer {error}") from error
        except urllib.error.HTTPError as error:
            raise SourceError(f"{url}: {error.code} {self._said(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{url}: {error}") from error
        finally:
            self._left -= time.monotonic() - began

    @staticmethod
    def _said(error: urllib.error.HTTPError) -> str:
        try:
            text = error.read(4000).decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return error.reason
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(text)
            if isinstance(said, dict) and "error" in said:
                return str(said["error"])[:300]
        return " ".join(text.split())[:300]

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.ProxyHandler({}),
            _NoRedirect(),
        ]
        if self._source.url.startswith("https:"):
            context = ssl.create_default_context(cafile=self._source.ca)
            if self._source.certificate:
                context.load_cert_chain(self._source.certificate, self._source.key)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A password and a certificate are for the address that was configured."""

    def redirect_request(self, *_: object) -> None:
        """Lead nowhere: it is an error then, as any answer but 200."""
