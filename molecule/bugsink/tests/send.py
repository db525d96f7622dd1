"""Tell an error as a program of the site does: send.py TEXT COUNT [--alike], with the DSN on stdin.

With Debian's Sentry SDK, which checks the gateway's certificate against the site's CA.
"""

from __future__ import annotations

import sys

import sentry_sdk

TIMEOUT_SECONDS = 20


class ProbeError(Exception):
    """What is told."""


def main() -> None:
    sentry_sdk.init(
        dsn=sys.stdin.read().strip(),
        ca_certs="/etc/lookout/tls/ca.pem",
        default_integrations=False,
    )
    for number in range(int(sys.argv[2])):
        try:
            raise ProbeError(f"{sys.argv[1]} {number}")
        except ProbeError as error:
            sentry_sdk.capture_exception(error)
    sentry_sdk.flush(timeout=TIMEOUT_SECONDS)


if __name__ == "__main__":
    main()
