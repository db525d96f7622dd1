"""The watchdog as a service: who is ended, when, and what it may do itself."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import events
import pytest
import yaml
from hosts import CURL, wait_for
from stage import (
    FIRST_VALIDATION,
    GRACE,
    SCAN,
    TOLERANCE,
    UNIT,
    URL,
    VALIDATION,
    bring,
    gone,
    metric,
    now,
    start,
    tree,
)
from testinfra.host import Host
from units import main_pid

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/contracts"))
from metric_names import selectors  # noqa: E402

# CAP_KILL and CAP_SYS_PTRACE
CAPABILITIES = 1 << 5 | 1 << 19
MOST_MEMORY_KB = 25_000
PROCESSES = 1000
MOST_SCAN_SECONDS = 0.020


@pytest.fixture(scope="module", autouse=True)
def programs(host: Host) -> None:
    bring(host, "standin.py", "reuse.py")


def standin(rule: str, kind: str) -> tuple[str, ...]:
    return ("python3", "/usr/local/lib/standin.py", f"lookout-test-{rule}", kind)


# --- who is ended ---


def test_validated_it_lives_and_once_it_is_not_it_ends_in_time(host: Host) -> None:
    """One that ignores SIGTERM, with children that do so too."""
    bystander = start(host, "bystander", *standin("other", "calm"))
    root = start(host, "validated", *standin("validated", "stubborn"))
    for _ in range(5):
        root.validate()
        time.sleep(VALIDATION / 3)
    assert root.alive
    members = tree(host, root)
    assert len(members) == 3
    root.validate()
    last = root.validated
    assert wait_for(lambda: metric(host, 'watchdog_validated_trees{rule="validated"}') == 1, 3)
    late = root.ended(30) - last - VALIDATION - GRACE
    print(f"ended {late:.2f} s after its last validation, {VALIDATION} s and the grace")
    # A validation counts from the scan before it at the earliest.
    assert -SCAN - TOLERANCE < late < SCAN + TOLERANCE
    assert gone(members, 5)
    assert bystander.alive
    assert len(tree(host, bystander)) == 3
    assert metric(host, 'watchdog_kills_total{reason="validation_old",rule="validated"}') >= 1
    said = host.check_output(f"journalctl --no-pager -u {UNIT} -p warning")
    assert re.search(
        rf"ends python3 {root.pid} of rule validated: its last validation is \d s old", said
    )
    host.check_output("systemctl stop bystander.service")


def test_never_validated_it_ends(host: Host) -> None:
    began = now(host)
    root = start(host, "never", *standin("validated", "calm"))
    late = root.ended(40) - began - FIRST_VALIDATION
    # A second for its start
    assert -SCAN < late < SCAN + GRACE + TOLERANCE + 1
    assert metric(host, 'watchdog_kills_total{reason="never_validated",rule="validated"}') >= 1


def test_grown_past_its_limit_it_ends_and_no_sooner(host: Host) -> None:
    small = start(host, "small", *standin("small", "calm"))
    began = now(host)
    large = start(host, "large", *standin("small", "large"))
    # Three seconds until it grows, and two for its start
    assert 3 < large.ended(40) - began < 3 + SCAN + GRACE + TOLERANCE + 2
    assert small.alive
    host.check_output("systemctl stop small.service")


def test_a_storm_of_forks_ends(host: Host) -> None:
    """Processes whose parents end at once, and which ignore SIGTERM."""
    root = start(host, "storm", *standin("validated", "storm"))
    root.ended(40)
    assert wait_for(
        lambda: host.run("pgrep -f '[s]tandin.py lookout-test-validated'").stdout == "", 10
    )


def test_a_kill_is_told_to_sentry(host: Host) -> None:
    with events.listening(host):
        root = start(host, "told", *standin("small", "large"))
        assert wait_for(lambda: events.arrived(host))
    event = events.arrived(host)[0]["event"]
    text = event["logentry"]["formatted"]
    # It may be seen while it still grows.
    words = "its 1 processes take [6-9]\\d MB, 60 MB are allowed"
    assert re.search(f": ended python3 {root.pid} of rule small: {words}", text), text
    assert event["fingerprint"] == ["watchdog", "small", "memory"]


def test_ten_thousand_numbers_used_anew_end_nobody(host: Host) -> None:
    """reuse.py says how; in a namespace of its own, so that its 400 numbers are nobody else's."""
    python = "/opt/lookout/watchdog/current/bin/python"
    script = (
        "echo 400 > /proc/sys/kernel/pid_max && "
        f"exec timeout 280 {python} /usr/local/lib/reuse.py 10000"
    )
    shown = host.check_output("unshare --pid --fork --mount-proc sh -c %s", script)
    print(shown)
    found = re.search(r"reused=(\d+) wrong=(\d+) refused=(.*) seconds", shown)
    assert found, shown
    assert int(found[1]) >= 10_000
    assert int(found[2]) == 0
    assert "another_process" in found[3]


# --- what it may do, and what it costs ---


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    pid = main_pid(host, UNIT)
    lines = host.check_output(f"cat /proc/{pid}/status").splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == CAPABILITIES, kind
    assert status["Uid"].split()[0] == str(host.user("lookout-watchdog").uid)
    for place in ("/etc", "/usr", "/var/lib", "/home"):
        refused = host.run(f"nsenter --target {pid} --mount -- touch {place}/lookout-probe")
        assert refused.rc != 0, f"{UNIT} can write to {place}"
    shown = host.check_output(f"systemd-analyze security --no-pager {UNIT}")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure
    print(exposure[0])
    assert float(exposure[1]) <= 2.5


def scanned(host: Host) -> tuple[float, float]:
    """Processor seconds of all scans so far, and their number."""
    cpu = metric(host, "watchdog_scan_cpu_seconds_total")
    return cpu, metric(host, "watchdog_scans_total")


def test_a_thousand_processes_cost_it_less_than_20_ms(host: Host) -> None:
    sleepers = "for _ in $(seq 1000); do sleep 300 & done; wait"
    host.check_output("systemd-run --quiet --collect --unit=sleepers sh -c %s", sleepers)
    try:
        assert wait_for(lambda: metric(host, "watchdog_processes") > PROCESSES)
        # What else the machine does makes a scan dearer, never cheaper: the best look counts.
        costs: list[float] = []
        while len(costs) < 12 and min(costs, default=1) >= MOST_SCAN_SECONDS:
            before = scanned(host)
            time.sleep(3 * SCAN)
            cpu, scans = (now - then for now, then in zip(scanned(host), before, strict=True))
            costs.append(cpu / scans)
        shown = host.check_output(f"grep ^Pss: /proc/{main_pid(host, UNIT)}/smaps_rollup")
        print([f"{1000 * cost:.1f} ms a scan" for cost in costs], f"{int(shown.split()[1])} kB")
        assert min(costs) < MOST_SCAN_SECONDS
        assert int(shown.split()[1]) < MOST_MEMORY_KB
    finally:
        host.check_output("systemctl kill --signal=KILL sleepers.service")


def test_its_metrics_are_those_that_rules_name(host: Host) -> None:
    shown = host.check_output(f"{CURL} {URL}")
    rules = yaml.safe_load((ROOT / "roles/watchdog/files/alerts/watchdog.yml").read_text())
    names = {
        selector.name
        for group in rules["groups"]
        for rule in group["rules"]
        for selector in selectors(rule["expr"])
        if not selector.name.startswith(("lookout:", "up"))
    }
    assert len(names) > 5
    assert {name for name in names if not re.search(rf"^{name}(\{{| )", shown, re.M)} == set()
    assert host.run(f"curl -fsS --cacert /etc/lookout/tls/ca.pem {URL}").rc != 0
