"""Send one event with sentry-sdk: `python -m lookout.kit.send_report` with the order as JSON.

The order has `dsn`, `ca` (a file, or null), `timeout_seconds` and `event`. It ends with 0 when the
server took the event; otherwise it says why on standard error and ends with 1.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import sentry_sdk
from sentry_sdk.transport import HttpTransport


class Transport(HttpTransport):
    """Remembers why an event was dropped; sentry-sdk itself would only log it."""

    dropped: tuple[str, ...] = ()

    def on_dropped_event(self, _reason: str) -> None:
        """Take down the reason."""
        type(self).dropped += (_reason,)


def send(order: dict[str, Any]) -> str | None:
    """Why the event did not arrive; None when it did."""
    try:
        sentry_sdk.init(
            dsn=order["dsn"],
            ca_certs=order["ca"],
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
