"""What the tests ask a gateway, and do to it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from testinfra.host import Host

GATEWAYS = ("trixie", "bookworm")
EMAIL = "admin@example.org"
SECRET = "bG9va291dC10ZXN0LWtleS1vZi0zMi1ieXRlcyEhIQ=="  # noqa: S105
HOOK = "/etc/letsencrypt/renewal-hooks/deploy/lookout"
METRICS = "/var/lib/prometheus/node-exporter/lookout_certbot.prom"
PUBLIC_CA = "Pebble Intermediate CA"


def public(host: Host) -> str:
    return f"{host.check_output('hostname')}.example.org"


def certificates(host: Host) -> list[dict[str, Any]]:
    """What converge.yml asks for on this host."""
    name = public(host)
    return [
        {"name": f"status.{name}", "domains": [f"status.{name}", f"www.{name}"]},
        {"name": f"wild.{name}", "domains": [f"*.{name}"], "challenge": "dns"},
    ]


def on_the_wire(host: Host, awaited: str = "") -> str:
    """Serial, issuer and names of the certificate that the web server hands out.

    `awaited`: what is to be in it. It is asked again for that, as nginx takes a moment after a
    reload has returned.
    """
    shown = ""
    for _ in range(20):
        shown = host.check_output(
            "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null "
            "| openssl x509 -noout -serial -issuer -ext subjectAltName"
        )
        if awaited in shown:
            break
        time.sleep(0.5)
    return shown


def on_disk(host: Host, name: str, what: str = "-serial -ext subjectAltName") -> str:
    file = f"/etc/letsencrypt/live/{name}/fullchain.pem"
    shown: str = host.check_output(f"openssl x509 -noout {what} -in {file}")
    return shown


def serial(text: str) -> str:
    found = re.search(r"serial=([0-9A-F]+)", text)
    assert found, text
    return found[1]


def names(text: str) -> set[str]:
    return set(re.findall(r"DNS:([^\s,]+)", text))


def served(host: Host, name: str) -> str:
    link: str = host.check_output(f"readlink /etc/lookout/tls/served/{name}")
    return link


def metrics(host: Host) -> dict[str, float]:
    """The metrics of the text file, without their common prefix."""
    lines = host.check_output(f"grep -v '^#' {METRICS}").splitlines()
    pairs = (line.removeprefix("lookout_certbot_").rsplit(" ", 1) for line in lines)
    return {name: float(value) for name, value in pairs}


def reloads(host: Host, unit: str) -> int:
    """How often counting@<unit> was reloaded."""
    return len(host.run(f"cat /run/reloads-{unit}").stdout.splitlines())


@contextmanager
def due(host: Host, *names: str) -> Iterator[None]:
    """Have these certificates be close to their end, as certbot sees it."""
    files = " ".join(f"/etc/letsencrypt/renewal/{name}.conf" for name in names)
    if names:
        host.check_output(f"sed -i '1i renew_before_expiry = 3000 days' {files}")
    yield
    if names:
        host.check_output(f"sed -i '/^renew_before_expiry/d' {files}")


def renew(host: Host, *names: str) -> int:
    """Start what the timer starts, with these certificates due; its status."""
    with due(host, *names):
        return int(host.run("systemctl start certbot.service").rc)
