"""What the tests of the robots share: questions to the databases, and what a robot has to bear."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hosts import CURL, put
from testinfra.host import Host
from units import main_pid

DATABASE, FORWARDER = "victoria-metrics.service", "victoria-metrics-agent.service"
SENSOR = "lookout-sensor.service"
# What runs on a robot all the time
SERVICES = (DATABASE, FORWARDER, SENSOR, "prometheus-node-exporter.service")
# With those of our four programs a robot has 5,000.
SERIES = 2200
SITE, LOCAL, AGENT = "https://127.0.0.1:9090", "http://127.0.0.1:8428", "http://127.0.0.1:8429"


@dataclass(frozen=True)
class Robot:
    """A robot by its name at the site."""

    name: str
    host: Host

    def ask(self, query: str) -> float:
        return number(self.host, LOCAL, query)

    def metric(self, name: str, server: str = AGENT) -> float:
        """The sum of a metric that a server shows of itself."""
        shown = self.host.check_output(f"curl -fsS {server}/metrics").splitlines()
        return sum(
            float(line.split()[-1]) for line in shown if line.split("{")[0].split()[0] == name
        )

    def pss(self, unit: str) -> int:
        """kB of the unit's main process."""
        return pss(self.host, main_pid(self.host, unit))


def pss(host: Host, pid: int) -> int:
    """kB that a process has to itself, and its share of what it has with others."""
    return int(host.check_output(f"grep ^Pss: /proc/{pid}/smaps_rollup").split()[1])


def results(host: Host, server: str, query: str, at: float | None = None) -> list[dict[str, Any]]:
    moment = f"&time={at:.3f}" if at else ""
    address = f"{server}/api/v1/query?query={quote(query)}{moment}"
    found: list[dict[str, Any]] = json.loads(host.check_output(f"{CURL} '{address}'"))["data"][
        "result"
    ]
    return found


def number(host: Host, server: str, query: str, at: float | None = None) -> float:
    """The value of the one series that answers; -1 where none does."""
    found = results(host, server, query, at)
    return float(found[0]["value"][1]) if found else -1


def beats(host: Host, server: str, name: str, since: float, until: float) -> dict[int, float]:
    """What is stored of a robot's counter: its value at each moment, in milliseconds."""
    query = f'edge_beat{{instance="{name}"}}[{until - since:.0f}s]'
    found = results(host, server, query, until)
    return {round(1000 * at): float(value) for one in found for at, value in one["values"]}


def now(host: Host) -> float:
    return float(host.check_output("date +%s.%N"))


def cut(robot: Robot) -> None:
    """Cut the link, in the network of the robot alone: nothing leaves it but to itself."""
    robot.host.check_output(
        "nft 'add table inet cut; add chain inet cut out {type filter hook output priority 0;};"
        ' add rule inet cut out oifname != "lo" drop\''
    )


def mend(robot: Robot) -> None:
    robot.host.check_output("nft 'add table inet cut; delete table inet cut'")


def serve(robot: Robot) -> None:
    """The program that is scraped runs; after a power cut it has to be begun again."""
    if robot.host.run("systemctl is-active target").rc != 0:
        put(robot.host, Path(__file__).parents[1] / "target.py")
        robot.host.check_output(f"systemd-run --unit=target python3 /root/target.py {SERIES}")
