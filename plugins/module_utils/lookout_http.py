"""Ask a service of the site over HTTP or mutual TLS, as one that may scrape it or as a stranger."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from pathlib import Path

# Keys of the mapping `tls` that service_live and probe take
TLS_OPTIONS = {
    "ca": {"type": "path", "required": True},
    "certificate": {"type": "path", "required": True},
    "key": {"type": "path", "required": True},
}

# What OpenSSL calls the alert of a server that wants a certificate: in TLS 1.3, and before
WANTS_CERTIFICATE = ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE")


class CertificateRequiredError(OSError):
    """The service is there, proved who it is, and refuses us: we showed no certificate."""


def fetch(url: str, tls: dict[str, str] | None, timeout: float) -> str:
    """The body of a 2xx answer.

    `tls` holds paths: `ca` (PEM, what the service's certificate is checked against), and
    `certificate` and `key` of the client, which are shown where both are there.
    Raises OSError or http.client.HTTPException where there is no such answer, and of these
    CertificateRequiredError where the service asks for a certificate that this host has not.
    """
    context = None
    with_certificate = False
    if url.startswith("https:") and tls:
        context = ssl.create_default_context(cafile=tls["ca"])
        with_certificate = Path(tls["certificate"]).is_file() and Path(tls["key"]).is_file()
        if with_certificate:
            context.load_cert_chain(tls["certificate"], tls["key"])
    try:
        with urllib.request.urlopen(url, timeout=timeout, context=context) as answer:
            return str(answer.read().decode(errors="replace"))
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if getattr(reason, "reason", "") in WANTS_CERTIFICATE and not with_certificate:
            raise CertificateRequiredError(
                f"{url} answers only to who shows a client certificate of the site"
            ) from None
        raise
