"""Mutual TLS of our own servers: clients of the site are answered, and nobody else."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any

from lookout.kit.options import TlsOptions

log = logging.getLogger("lookout.kit.tls")


class Certificates:
    """Mutual TLS with the files as they are now: a renewed certificate needs no restart."""

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._seen = self._changed()
        self._context = self._read()

    def accept(self, request: socket.socket) -> ssl.SSLSocket:
        """The connection under TLS. Raises OSError for a client that the site does not know."""
        wrapped = self.fresh().wrap_socket(request, server_side=True)
        if not self.knows(wrapped.getpeercert()):
            wrapped.close()
            raise OSError(f"its certificate is not {self._options.client_name}'s")
        return wrapped

    def knows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a certificate, as Python shows it, holds the name that clients have to have."""
        name = self._options.client_name
        return not name or ("DNS", name) in (certificate or {}).get("subjectAltName", ())

    def fresh(self) -> ssl.SSLContext:
        """What a new connection is taken with."""
        with self._lock:
            try:
                now = self._changed()
                if now != self._seen:
                    self._context, self._seen = self._read(), now
            except OSError as error:
                # In the midst of a renewal key and certificate may not fit; the next look will do.
                log.warning("the renewed certificate is not taken yet: %s", error)
            return self._context

    def _changed(self) -> tuple[int, ...]:
        files = (self._options.certificate, self._options.key, self._options.ca)
        return tuple(file.stat().st_mtime_ns for file in files)

    def _read(self) -> ssl.SSLContext:
        return context(self._options)


def context(tls: TlsOptions) -> ssl.SSLContext:
    """TLS for clients that the site's CA has signed, and for nobody else. Raises OSError."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    # Of asyncio's servers alone
    made.sslobject_class = SaysWhy
    made.load_cert_chain(tls.certificate, tls.key)
    return made


class SaysWhy(ssl.SSLObject):
    """A side of TLS that tells the other why it is refused.

    asyncio closes a connection whose handshake failed without sending the alert that says so. When
    the error comes a round later, the alert is on its way.
    """

    _failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """As ever; an error is raised at the second call."""
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failed = error
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert goes first") from error
