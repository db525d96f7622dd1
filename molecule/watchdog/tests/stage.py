"""Processes on a host of the scenario, and what the watchdog says of them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from hosts import CURL, put, wait_for
from testinfra.host import Host

UNIT = "lookout-watchdog.service"
URL = "https://127.0.0.1:9701/metrics"
DIRECTORY = "/run/lookout/watchdog"
SCENARIO = Path(__file__).parents[1]
VALIDATE = "/usr/local/bin/lookout-validate"
# Seconds, of converge.yml
SCAN, GRACE, VALIDATION = 1, 2, 4
TOLERANCE = 0.5
# A machine that runs other tests at the same time is late with everything.
BUSY = 1.5


def metric(host: Host, name: str) -> float:
    """A series of the watchdog, with its labels as they are written there."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", host.check_output(f"{CURL} {URL}"), re.M)
    assert found, name
    return float(found[1])


def bring(host: Host, *names: str) -> None:
    """Put programs of the scenario where every user may read them."""
    for name in names:
        put(host, SCENARIO / name)
        host.check_output(f"install -m 0755 /root/{name} /usr/local/lib/{name}")


@dataclass(frozen=True)
class Started:
    """A process on the host; what tells it from a successor is the start in clock ticks."""

    host: Host
    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether this very process lives, and is no zombie."""
        shown = self.host.run(f"cat /proc/{self.pid}/stat")
        fields = shown.stdout.rpartition(")")[2].split()
        return shown.rc == 0 and fields[0] not in "ZX" and int(fields[19]) == self.start

    def validate(self, user: str = "driver", directory: str = DIRECTORY) -> None:
        """Say, as that user, that it is well."""
        self.host.check_output(f"runuser -u {user} -- {VALIDATE} {self.pid} {directory}")

    def stat(self) -> list[str]:
        """Fields of stat after the name."""
        return str(self.host.check_output(f"cat /proc/{self.pid}/stat")).rpartition(")")[2].split()


def process(host: Host, pid: int) -> Started:
    """A process that lives now."""
    fields = str(host.check_output(f"cat /proc/{pid}/stat")).rpartition(")")[2].split()
    return Started(host, pid, int(fields[19]))


def start(host: Host, unit: str, *argv: str, user: str = "driver") -> Started:
    """Start a program as a unit of its own."""
    host.run(f"systemctl reset-failed {unit}.service")
    words = " ".join(argv)
    host.check_output(f"systemd-run --quiet --unit={unit} --uid={user} {words}")
    pid = int(host.check_output(f"systemctl show --property=MainPID --value {unit}.service"))
    return process(host, pid)


def tree(host: Host, root: Started) -> list[Started]:
    """A process and all below it."""
    found, open_ends = [root], [root.pid]
    while open_ends:
        shown = host.run(f"pgrep -P {open_ends.pop()}").stdout.split()
        open_ends += map(int, shown)
        found += [process(host, int(pid)) for pid in shown]
    return found


def gone(processes: list[Started], seconds: float) -> float:
    """Wait until none of them lives; how long that took."""
    began = time.monotonic()
    assert wait_for(lambda: not any(one.alive for one in processes), seconds), processes
    return time.monotonic() - began
