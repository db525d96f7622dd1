"""What a robot pays, beside what it may: one robot and its site, built by site.yml.

1. Ten minutes with 5 targets and 5,000 series at 15 s, while every series is asked for each minute:
   memory (PSS), processor time and what goes to the disk, process by process.
2. Scrapes of the sensor service by 1 and by 50 clients, with and without TLS, and what 10,000 of
   them add to its memory.
3. Six hours of such samples sent through the forwarder while the link is cut: what they take in its
   buffer, and whether all are at the site afterwards.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
SERVICES = {
    "VictoriaMetrics": "victoria-metrics",
    "forwarder": "victoria-metrics-agent",
    "sensor service": "lookout-sensor",
    "node exporter": "prometheus-node-exporter",
}
SERIES, MINUTES = 5000, 10
SIX_HOURS_OF_SAMPLES = SERIES * 4 * 60 * 6
TLS = "/etc/lookout/tls"
CURL = (
    f"curl -fsS --cacert {TLS}/ca.pem --cert {TLS}/client/fullchain.pem"
    f" --key {TLS}/client/privkey.pem"
)
LOCAL, AGENT, SITE = "http://127.0.0.1:8428", "http://127.0.0.1:8429", "https://127.0.0.1:9090"
PLAIN = """
instance: bench
port: 8001
files: {directory: /run/lookout/sensor}
"""
# Steps of 15 s that end now, as the forwarder takes them from whoever pushes
PUSH = """
import http.client, sys, time
series, steps = int(sys.argv[1]), int(sys.argv[2])
now, to = int(time.time()) // 15 * 15, http.client.HTTPConnection("127.0.0.1", 8429, timeout=120)
for step in range(steps):
    at = (now - 15 * (steps - step)) * 1000
    text = "".join(
        f'six_{n // 20}_value{{joint="joint-{n}",job="many",instance="robot"}}'
        f" {(n * 37 + step * (n % 7)) % 1000 / 7:.3f} {at}\\n"
        for n in range(series)
    )
    to.request("POST", "/api/v1/import/prometheus", text.encode())
    answer = to.getresponse()
    answer.read()
    assert answer.status == 204, answer.status
"""
# Nobody signs in there: the password is of no use.
SITE_VARIABLES = {
    "register_remote_writers": ["edge"],
    "nginx_users": {"nobody": "$2y$08$PnsdkiDi3FItSUFxHhoY1.AaxBJ5xmGfpPoFsOx9wFR2.HG0Ux62e"},
}
VARIABLES = {
    "register_scraped_by": ["robot"],
    "register_routed_by": [],
    "victoriametrics_forward_url": "https://mon:4041/api/v1/write",
    "victoriametrics_extra_scrape_configs": [
        {
            "job_name": "many",
            "static_configs": [{"targets": ["127.0.0.1:8900"], "labels": {"instance": "robot"}}],
        }
    ],
}


class Host:
    """One of the hosts, by its container."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, script: str, timeout: float = 600) -> str:
        argv = ["podman", "exec", self.name, "sh", "-c", script]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=timeout)
        return done.stdout

    def put(self, file: Path) -> None:
        subprocess.run(
            ["podman", "cp", str(file), f"{self.name}:/root/{file.name}"], check=True, timeout=60
        )

    def write(self, name: str, text: str) -> None:
        argv = ["podman", "exec", "--interactive", self.name, "sh", "-c", f"cat > /root/{name}"]
        subprocess.run(argv, input=text, text=True, check=True, timeout=60)

    def pid(self, unit: str) -> int:
        return int(self.run(f"systemctl show --property=MainPID --value {unit}"))

    def pss(self, pid: int) -> float:
        """MB."""
        return int(self.run(f"grep ^Pss: /proc/{pid}/smaps_rollup").split()[1]) * 1024 / 1e6

    def spent(self, pid: int) -> tuple[float, float]:
        """Seconds of a processor, and MB that were written to the disk, so far."""
        fields = self.run(f"cat /proc/{pid}/stat").rpartition(")")[2].split()
        written = self.run(f"sed -n 's/^write_bytes: //p' /proc/{pid}/io")
        return (int(fields[11]) + int(fields[12])) / 100, int(written) / 1e6

    def ask(self, server: str, query: str, at: float | None = None) -> float:
        """The one value of an answer, of now or of a moment; 0 where there is none."""
        moment = f"&time={at}" if at else ""
        address = f"{server}/api/v1/query?query={quote(query)}{moment}"
        found: list[dict[str, Any]] = json.loads(self.run(f"{CURL} '{address}'"))["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def metric(self, name: str) -> float:
        """The sum of a metric of the forwarder."""
        shown = self.run(f"curl -fsS {AGENT}/metrics").splitlines()
        return sum(float(line.split()[-1]) for line in shown if line.startswith(f"{name}{{"))


def beside(label: str, value: float, unit: str, target: float, digits: int = 1) -> None:
    """One figure and what it may be."""
    word = "within" if value <= target else "OVER"
    print(f"{label}: {value:.{digits}f} {unit}, {word} {target:g}", flush=True)


def measure(robot_name: str, site_name: str) -> None:
    """Print all figures, on hosts that site.yml has built."""
    robot, site = Host(robot_name), Host(site_name)
    measure_rest(robot)
    measure_scrapes(robot)
    measure_six_hours(robot, site)


def measure_rest(robot: Host) -> None:
    """The first part."""
    every = '{__name__!=""}'
    time.sleep(45)
    others = int(robot.ask(LOCAL, f"count({every})"))
    robot.put(ROOT / "molecule/edge/target.py")
    # The target's own six series of `up` and the like come on top of those it shows.
    robot.run(f"systemd-run --unit=target python3 /root/target.py {SERIES - others - 6}")
    pids = {label: robot.pid(unit) for label, unit in SERVICES.items()}
    before = {label: robot.spent(pid) for label, pid in pids.items()}
    most = dict.fromkeys(pids, 0.0)
    for _ in range(MINUTES):
        time.sleep(60)
        for query in (f"count(count_over_time({every}[10m]))", f"sum(avg_over_time({every}[10m]))"):
            if not robot.ask(LOCAL, query):
                raise SystemExit(f"{query} was not answered")
        most = {label: max(most[label], robot.pss(pid)) for label, pid in pids.items()}
    series, targets = robot.ask(LOCAL, f"count({every})"), robot.ask(LOCAL, "count(up == 1)")
    print(f"{series:.0f} series of {targets:.0f} targets, after {MINUTES} minutes", flush=True)
    for label, pid in pids.items():
        seconds, written = (
            now - then for now, then in zip(robot.spent(pid), before[label], strict=True)
        )
        print(
            f"{label}: {robot.pss(pid):.1f} MB ({most[label]:.1f} at most), "
            f"{seconds:.1f} s of a processor, {written:.1f} MB written"
        )
    total = sum(robot.pss(pid) for pid in pids.values())
    beside("all of it without the forwarder", total - robot.pss(pids["forwarder"]), "MB", 100)
    beside("all of it", total, "MB", 100)
    beside("all of it, the requirement", total, "MB", 300)


def measure_scrapes(robot: Host) -> None:
    """The second part; the service without TLS is a second one beside it."""
    robot.put(ROOT / "molecule/sensor_service/scrapes.py")
    robot.write("plain.yml", PLAIN)
    command = f"/proc/{robot.pid(SERVICES['sensor service'])}/cmdline"
    python = robot.run(f"tr '\\0' '\\n' < {command} | head -n 1").strip()
    program = f"{python} -m lookout.sensor --config /root/plain.yml"
    robot.run(f"systemd-run --unit=plain --setenv=MALLOC_ARENA_MAX=2 {program}")
    time.sleep(5)
    ways = {
        "without TLS": ("http://127.0.0.1:8001/metrics", "plain"),
        "with TLS": ("https://127.0.0.1:8000/metrics", SERVICES["sensor service"]),
    }
    for label, (url, unit) in ways.items():
        scrape = f"python3 /root/scrapes.py {url}"
        for clients, scrapes, target in ((1, 2000, 5), (50, 10_000, 50)):
            found = json.loads(robot.run(f"{scrape} {clients} {scrapes}"))
            name = f"scrape {label}, {clients} clients: p50 {found['p50_ms']:.2f} ms, p99"
            beside(name, found["p99_ms"], "ms", target, 2)
            if found["failed"]:
                raise SystemExit(f"{found['failed']} scrapes failed")
        # Those before have made it as large as so many clients make it.
        pid = robot.pid(unit)
        before = robot.pss(pid)
        robot.run(f"{scrape} 50 10000")
        beside(f"10,000 scrapes {label} add", robot.pss(pid) - before, "MB", 1, 2)
    robot.run("systemctl stop plain")


def measure_six_hours(robot: Host, site: Host) -> None:
    """The third part."""
    robot.run(
        "nft 'add table inet cut; add chain inet cut out {type filter hook output priority 0;};"
        ' add rule inet cut out oifname != "lo" drop\''
    )
    robot.write("push.py", PUSH)
    pending = "vmagent_remotewrite_pending_data_bytes"
    before = robot.metric(pending)
    began = time.monotonic()
    robot.run(f"python3 /root/push.py {SERIES} {SIX_HOURS_OF_SAMPLES // SERIES}", timeout=3000)
    print(f"pushed in {time.monotonic() - began:.0f} s", flush=True)
    time.sleep(30)
    held = (robot.metric(pending) - before) / 1e6
    beside(f"buffer for {SIX_HOURS_OF_SAMPLES:,} samples, six hours", held, "MB", 600, 0)
    print(f"forwarder: {robot.pss(robot.pid(SERVICES['forwarder'])):.1f} MB meanwhile")
    robot.run("nft delete table inet cut")
    began = time.monotonic()
    arrived = 0
    while arrived < SIX_HOURS_OF_SAMPLES and time.monotonic() - began < 1800:
        time.sleep(15)
        # By the hour, as one answer may take 50 million samples, and Prometheus has no offset of 0;
        # no sample in two of them.
        at, six = int(time.time()), '{__name__=~"six_.+"}[59m59s999ms]'
        hours = (f"sum(count_over_time({six} offset {60 * hour - 59}m))" for hour in range(1, 9))
        arrived = int(sum(site.ask(SITE, one, at) for one in hours))
    print(
        f"{arrived:,} of {SIX_HOURS_OF_SAMPLES:,} are at the site "
        f"{time.monotonic() - began:.0f} s after the link is back"
    )
