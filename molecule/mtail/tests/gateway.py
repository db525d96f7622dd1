"""Requests to the gateway of a host, and what mtail, its log and Prometheus say of them."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections import Counter
from typing import Any

from hosts import CURL, wait_for
from testinfra.host import Host

GATEWAY = "https://localhost"
MTAIL = "http://127.0.0.1:3903/metrics"
PROMETHEUS = "https://127.0.0.1:9090"
LOG = "/var/log/monitoring/nginx/access.log"
UNIT = "mtail.service"
REQUESTS = "lookout_http_requests_total"
NOT_OF_NGINX = "a line that nginx never wrote"
UNPARSED = "lookout_http_log_lines_unparsed_total"

# mtail looks at the log four times a second.
READ_SECONDS = 1.0

Labels = frozenset[tuple[str, str]]


def send(host: Host, path: str, times: int = 1, *options: str) -> Counter[str]:
    """Ask for a path so many times, all at once; how often each status came."""
    words = " ".join(options)
    said = host.run(
        "curl --silent --cacert /etc/lookout/tls/ca.pem --parallel --parallel-max 50 "
        f"{words} --output /dev/null "
        f"--write-out '%{{http_code}}\\n' '{GATEWAY}{path}?[1-{times}]'"
    ).stdout
    return Counter(said.split())


def labels(**values: str) -> Labels:
    return frozenset(values.items())


def samples(host: Host) -> dict[str, dict[Labels, float]]:
    """What mtail counts of the gateway: metric, labels (without the program's), value."""
    found: dict[str, dict[Labels, float]] = {}
    for line in host.check_output(f"curl -fsS {MTAIL}").splitlines():
        match = re.fullmatch(r"(lookout_\w+)\{(.*)\} (\S+)", line)
        if match:
            pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2])
            key = frozenset((name, value) for name, value in pairs if name != "prog")
            found.setdefault(match[1], {})[key] = float(match[3])
    return found


def settled(host: Host) -> dict[str, dict[Labels, float]]:
    """The samples once mtail has read what is in the log now."""
    time.sleep(READ_SECONDS)
    return samples(host)


def gained(
    before: dict[str, dict[Labels, float]], after: dict[str, dict[Labels, float]], metric: str
) -> dict[Labels, float]:
    """By how much the series of a metric have grown, those that have."""
    former = before.get(metric, {})
    grown = {key: value - former.get(key, 0) for key, value in after.get(metric, {}).items()}
    return {key: value for key, value in grown.items() if value}


def total(host: Host) -> float:
    """How many requests mtail has counted, once it has read the log."""
    return sum(settled(host).get(REQUESTS, {}).values())


def counts(host: Host, number: float) -> bool:
    """Whether mtail comes to this count and stays there; it looks for a renamed log at times."""
    return bool(wait_for(lambda: total(host) == number)) and total(host) == number


def logged(host: Host, first: int = 0) -> list[dict[str, Any]]:
    """The lines of nginx from the given one on; each has to be one JSON object."""
    lines = host.check_output(f"tail -n +{first + 1} {LOG}").splitlines()
    return [json.loads(line) for line in lines if line != NOT_OF_NGINX]


def lines_in_log(host: Host) -> int:
    return int(host.check_output(f"wc -l < {LOG}"))


def write_lines(host: Host, *lines: str) -> None:
    """Append lines to the log as nginx would."""
    text = "".join(f"{line}\n" for line in lines)
    host.check_output(f"printf %s '{text}' >> {LOG}")


def line(**changes: Any) -> str:
    """A line of the log as the gateway writes it, with some values changed."""
    values: dict[str, Any] = {
        "time": "2026-01-01T00:00:00+00:00", "level": "INFO", "route": "written", "method": "GET",
        "status": 200, "request_time": 0.012, "upstream_time": "0.011", "bytes": 10,
        "client": "192.0.2.1", "sign_in": "", "user": "", "host": "gateway", "request": "/",
        "agent": "test",
    }  # fmt: skip
    return json.dumps({**values, **changes}, separators=(",", ":"))


def query(host: Host, promql: str) -> list[dict[str, Any]]:
    text = urllib.parse.urlencode({"query": promql})
    shown = host.check_output(f"{CURL} '{PROMETHEUS}/api/v1/query?{text}'")
    found: list[dict[str, Any]] = json.loads(shown)["data"]["result"]
    return found
