"""Processes on a host of the scenario, and what the watchdog says of them."""

from __future__ import annotations

import re
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
SCAN, GRACE, VALIDATION, FIRST_VALIDATION = 1, 2, 6, 10
TOLERANCE = 0.5
# Says when a process ended, on the host's clock: what asks from outside is late on a busy machine.
OBSERVER = """
import os, select, sys, time
poll = select.poll()
poll.register(os.pidfd_open(int(sys.argv[1])), select.POLLIN)
poll.poll()
print(time.time())
"""


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

    def validate(self) -> None:
        """Say, as the driver, that it is well."""
        self.host.check_output(f"runuser -u driver -- {VALIDATE} {self.pid}")

    @property
    def validated(self) -> float:
        """When it was validated, as the file says."""
        return float(self.host.check_output(f"cat {DIRECTORY}/{self.pid}-{self.start}"))

    def observe(self) -> None:
        """Have the host note when it ends."""
        noted = f">/root/ended-{self.pid} 2>/root/observer &"
        self.host.check_output("sh -c %s", f"python3 -c '{OBSERVER}' {self.pid} {noted}")

    def ended(self, seconds: float) -> float:
        """Wait until it has ended; the time of that on the host's clock."""
        shown = wait_for(lambda: self.host.run(f"cat /root/ended-{self.pid}").stdout, seconds)
        assert shown, f"{self.pid} lives"
        return float(shown)


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
    started = process(host, pid)
    started.observe()
    return started


def now(host: Host) -> float:
    """The time on the host's clock."""
    return float(host.check_output("date +%s.%N"))


def tree(host: Host, root: Started) -> list[Started]:
    """A process and all below it."""
    found, open_ends = [root], [root.pid]
    while open_ends:
        shown = host.run(f"pgrep -P {open_ends.pop()}").stdout.split()
        open_ends += map(int, shown)
        found += [process(host, int(pid)) for pid in shown]
    return found


def gone(processes: list[Started], seconds: float) -> bool:
    """Whether none of them lives, or will within a time."""
    return bool(wait_for(lambda: not any(one.alive for one in processes), seconds))
