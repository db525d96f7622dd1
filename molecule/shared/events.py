"""A Sentry of its own on a host (sentry.py), and what arrived there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hosts import put, wait_for
from testinfra.host import Host

PORT = 8443
FOLDER = "/root/events"
_PID = "/run/sentry.pid"
_LISTENS = f"ss -Hltn 'sport = :{PORT}'"


def start(host: Host) -> None:
    """Begin to take events, with none there."""
    put(host, Path(__file__).with_name("sentry.py"))
    command = f"python3 /root/sentry.py {PORT} {FOLDER} >/dev/null 2>&1 & echo $! > {_PID}"
    host.check_output("sh -c %s", f"rm -rf {FOLDER}; mkdir {FOLDER}; {command}")
    assert wait_for(lambda: host.run(_LISTENS).stdout)


def stop(host: Host) -> None:
    """Take no more; what arrived stays."""
    host.check_output("sh -c %s", f"kill $(cat {_PID}); rm {_PID}")
    assert wait_for(lambda: not host.run(_LISTENS).stdout)


@contextmanager
def listening(host: Host) -> Iterator[None]:
    """Take events for a while."""
    start(host)
    try:
        yield
    finally:
        stop(host)


def arrived(host: Host) -> list[dict[str, Any]]:
    """Project and event of each, in their order."""
    shown = host.check_output(
        f"sh -c 'for file in $(ls {FOLDER} | sort -n); do cat {FOLDER}/$file; echo; done'"
    )
    return [json.loads(line) for line in shown.splitlines()]
