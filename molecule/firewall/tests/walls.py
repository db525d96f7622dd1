"""Looking at a host behind its firewall, from within and from outside."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from hosts import connect, put, scan, wait_for
from testinfra.host import Host

HERE = Path(__file__).parent
WALLED = ("trixie", "bookworm")
UNIT = "lookout-firewall.service"
METRICS_UNIT = "lookout-firewall-metrics.service"
METRICS = "/var/lib/prometheus/node-exporter/lookout_firewall.prom"
COMMAND = "/usr/local/sbin/lookout-firewall"
# What a run does that finds other rules in force than on disk
TRIED = ["firewall : Ensure it is in force, for a time", "firewall : Ensure it stays"]
# The rule set that converge.yml makes
OPEN_TO_ALL = [22, 8001]
OPEN_TO_FRIENDS = [22, 8001, 8002]


def address_of(host: Host) -> str:
    """The host's address; podman may give it another one when it starts again."""
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    inspect = ["podman", "inspect", "--format", address, host.backend.name]
    shown = subprocess.run(inspect, check=True, capture_output=True, text=True, timeout=30)
    return shown.stdout.strip()


def listen(host: Host) -> None:
    """Have the listeners run on a host."""
    if host.run("systemctl is-active test-listeners").rc != 0:
        put(host, HERE / "listeners.py")
        host.check_output("systemd-run --unit test-listeners python3 /root/listeners.py")
    assert wait_for(lambda: host.run("ss -Hltn 'sport = :8007' | grep -q .").rc == 0)


def answering(source: Host, address: str) -> dict[str, list[int]]:
    """Which of the ports that matter here answer to a host."""
    return scan(source, address, "1-1024,7990-8019,9000-9199", "8001-8003")


def reaches(source: str, address: str, port: int) -> bool:
    probe = f"import socket; socket.create_connection(('{address}', {port}), 2)"
    return bool(connect(source).run("python3 -c %s", probe).rc == 0)


def name_of(host: Host) -> str:
    return str(host.check_output("hostname"))


def said(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def metrics(host: Host) -> dict[str, float]:
    host.check_output(f"systemctl start {METRICS_UNIT}")
    lines = host.check_output(f"cat {METRICS}").splitlines()
    pairs = (line.split() for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def in_force(host: Host) -> bool:
    return bool(host.run(f"{COMMAND} status").rc == 0)


def rules(host: Host) -> str:
    return str(host.check_output("nft --stateless list table inet lookout"))
