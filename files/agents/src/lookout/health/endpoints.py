"""HTTP endpoints: the status, a text in the answer, and the time, which is for the whole of it."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lookout.health.results import CheckError

_MAX_BODY_BYTES = 1_000_000
_MAX_SHOWN = 60


@dataclass(frozen=True)
class Tls:
    """The site's CA, and what this host shows as a client where it has that."""

    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self, trust: str, verify: bool = True) -> ssl.SSLContext:
        """A context that trusts the site's CA, or those of the system."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if not verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            elif trust == "system":
                context.load_default_certs()
            elif self.ca_file is not None:
                context.load_verify_locations(self.ca_file)
            else:
                raise CheckError("tls.ca_file is not set: name it, or set trust: system")
            if trust == "site" and self.certificate and self.certificate.exists():
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise CheckError(f"the files of tls cannot be used: {error}") from error
        return context


@dataclass(frozen=True)
class Answer:
    """What a server answered, and how long the whole of it took."""

    status: int
    body: bytes
    seconds: float


def fetch(url: str, context: Callable[[], ssl.SSLContext], limit_seconds: float) -> Answer:
    """Ask once, without following a redirection: that, too, is an answer."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=limit_seconds, context=context()
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=limit_seconds)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    started = time.monotonic()
    try:
        connection.request("GET", target, headers={"User-Agent": "lookout-health"})
        response = connection.getresponse()
        body = response.read(_MAX_BODY_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise CheckError(f"its certificate is not accepted: {error.verify_message}") from error
    except TimeoutError as error:
        raise CheckError(f"it did not answer within {limit_seconds:g} s") from error
    except socket.gaierror as error:
        raise CheckError(f"{host} is not known: {error.strerror}") from error
    except (OSError, http.client.HTTPException) as error:
        raise CheckError(f"it does not answer: {error or type(error).__name__}") from error
    finally:
        connection.close()
    return Answer(response.status, body, time.monotonic() - started)


def problem(answer: Answer, statuses: tuple[int, ...], contains: str) -> str:
    """What is wrong with an answer; empty when it is as it should be."""
    if answer.status not in statuses:
        wanted = " or ".join(str(status) for status in statuses)
        return f"it answered {answer.status}, not {wanted}"
    if contains and contains.encode() not in answer.body:
        shown = answer.body[:_MAX_SHOWN].decode("utf-8", "replace")
        return f"its answer lacks {contains!r}; it begins with {shown!r}"
    return ""
