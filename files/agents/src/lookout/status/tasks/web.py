"""A small client for websites: cookies, TLS that is checked, answers that end."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path

from lookout.status.registry import Failed
from lookout.status.tls import client_context

URL = r"https?://[^\s/]+(/\S*)?"
MOST_BYTES = 2_000_000
AGENT = "lookout-status/1"
# Redirects that keep method and form (RFC 9110, 15.4.8 and 15.4.9)
SAME_METHOD = (307, 308)


@dataclass(frozen=True)
class Answer:
    """What a website answered, redirects followed."""

    url: str
    status: int
    content_type: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of an address: what a secret is meant for."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to http, and takes no secret to another origin."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise Failed(f"{req.full_url} leads from https to {newurl}")
        leaves = origin_of(newurl) != origin_of(req.full_url)
        if leaves and code in SAME_METHOD and req.data is not None:
            raise Failed(f"the form would be sent on to {host_of(newurl)}: it was not")
        onward = super().redirect_request(req, fp, code, msg, headers, newurl)
        if leaves and onward is not None:
            # urllib copies them all: password, cookies, where we come from. The jar knows its own.
            onward.headers = {"User-agent": AGENT}
        return onward


class Browser:
    """Asks one website; keeps its cookies. Proxies of the environment are not used."""

    def __init__(self, timeout_seconds: float, ca_file: Path | None = None) -> None:
        self._timeout = timeout_seconds
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=client_context(ca_file)),
            urllib.request.HTTPCookieProcessor(self.cookies),
            _Stay(),
        )

    def ask(
        self, url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """GET a page, or POST a form; an answer of any status is an answer."""
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise Failed(f"{url} is no address of a website")
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(  # noqa: S310 -- the scheme was looked at
            url, data, {"User-Agent": AGENT, **(headers or {})}
        )
        try:
            try:
                answer = self._opener.open(request, timeout=self._timeout)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                body = answer.read(MOST_BYTES)
                kind = answer.headers.get_content_type()
                return Answer(answer.geturl(), answer.status, kind, body)
        except urllib.error.URLError as error:
            raise Failed(f"{host_of(url)}: {reason(error.reason)}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{host_of(url)}: {reason(error)}") from error


def host_of(url: str) -> str:
    """Scheme and host of an address, which are no secret."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or "?"
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def reason(error: object) -> str:
    """Say in a few words why a connection failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def expect(answer: Answer, status: int, text: str) -> None:
    """Fail unless the answer has the status, and the text where one is given."""
    if answer.status != status:
        raise Failed(f"status {answer.status} instead of {status}")
    if text and text not in answer.text:
        raise Failed(f"the page does not hold the text {text!r}")
