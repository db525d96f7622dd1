"""Send one event with sentry-sdk: `python -m lookout.kit.send_report` with the order as JSON.

The order has `dsn`, `ca` (a file, or null), `timeout_seconds` and `event`. It ends with 0 when the
server took the event; otherwise it says why on standard error and ends with 1.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentry_sdk
from sentry_sdk.transport import HttpTransport

# Debian's bundle; a host without ca-certificates has none
SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")


class Transport(HttpTransport):
    """Remembers why an event was dropped; sentry-sdk itself would only log it."""

    dropped: tuple[str, ...] = ()

    def on_dropped_event(self, _reason: str) -> None:
        """Take down the reason."""
        type(self).dropped += (_reason,)


@contextlib.contextmanager
def trusted(ca: str | None) -> Iterator[str | None]:
    """A file with the system's CAs and this one, as sentry-sdk takes one file; None without one.

    The server may be behind the gateway, whose certificate is the site's or a public one.
    """
    if ca is None:
        yield None
        return
    with tempfile.NamedTemporaryFile("wb", suffix=".pem") as bundle:
        for file in (SYSTEM_CAS, Path(ca)):
            if file.exists() or file != SYSTEM_CAS:
                bundle.write(file.read_bytes() + b"\n")
        bundle.flush()
        yield bundle.name


def send(order: dict[str, Any]) -> str | None:
    """Why the event did not arrive; None when it did."""
    try:
        with trusted(order["ca"]) as ca:
            return _send(order, ca)
    except OSError as error:
        return f"the CA's certificate cannot be read: {error}"


def _send(order: dict[str, Any], ca: str | None) -> str | None:
    try:
        sentry_sdk.init(
            dsn=order["dsn"],
            ca_certs=ca,
            transport=Transport,
            # They look into the program that runs them, and this one is not what failed.
            default_integrations=False,
            auto_enabling_integrations=False,
            send_client_reports=False,
            send_default_pii=False,
        )
    except (sentry_sdk.utils.BadDsn, ValueError) as error:
        # The DSN itself is a secret.
        return f"the DSN is not one that sentry-sdk takes ({type(error).__name__})"
    if sentry_sdk.capture_event(order["event"]) is None:
        return "sentry-sdk refused the event"
    start = time.monotonic()
    sentry_sdk.flush(order["timeout_seconds"])
    if Transport.dropped:
        return f"the server did not take it: {Transport.dropped[0]}"
    if time.monotonic() - start >= order["timeout_seconds"]:
        return f"no answer within {order['timeout_seconds']:g} s"
    return None


def main() -> int:
    """Send the order on standard input."""
    why = send(json.load(sys.stdin))
    if why:
        print(why, file=sys.stderr)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
