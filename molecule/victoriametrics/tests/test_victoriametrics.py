"""VictoriaMetrics on a robot: what it scrapes and stores, and what it runs.

What it forwards, and what cut links and lost power cost: molecule/edge, with a real site.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hosts import CURL, connect, host_names, put, wait_for
from play import converge
from testinfra.host import Host
from units import assert_hardened, main_pid

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/contracts"))
from metric_names import selectors  # noqa: E402

UNIT, AGENT = "victoria-metrics.service", "victoria-metrics-agent.service"
LOCAL, FORWARDER = "http://127.0.0.1:8428", "http://127.0.0.1:8429"
CONFIG = "/etc/victoriametrics/config/prometheus.yml"
SERIES = 5000
# Where the kernel limits nothing: what it may have is 150 MB (requirement C).
MOST_MEMORY_KB = 150_000


def ask(host: Host, server: str, query: str, at: float | None = None) -> list[dict[str, Any]]:
    moment = f"&time={at:.0f}" if at else ""
    address = f"{server}/api/v1/query?query={quote(query)}{moment}"
    answer = json.loads(host.check_output(f"{CURL} '{address}'"))
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def number(host: Host, server: str, query: str, at: float | None = None) -> float:
    found = ask(host, server, query, at)
    return float(found[0]["value"][1]) if found else -1


def now(host: Host) -> float:
    return float(host.check_output("date +%s"))


def pss(host: Host, unit: str) -> int:
    return int(
        host.check_output(f"grep ^Pss: /proc/{main_pid(host, unit)}/smaps_rollup").split()[1]
    )


def test_it_scrapes_what_the_host_has(host: Host) -> None:
    assert wait_for(lambda: number(host, LOCAL, 'up{job="victoriametrics"}') == 1, 60)
    assert ask(host, LOCAL, "up == 0") == []
    flags = host.check_output(f"curl -fsS {LOCAL}/flags")
    assert 'retentionPeriod="2d"' in flags
    assert 'httpListenAddr="127.0.0.1:8428"' in flags
    assert "0.0.0.0:84" not in host.check_output("ss -Hltn")


@pytest.mark.parametrize(
    ("unit", "memory"), [(UNIT, 150 << 20), (AGENT, 64 << 20)], ids=["database", "forwarder"]
)
def test_limits_and_rights(host: Host, unit: str, memory: int) -> None:
    shown = host.check_output(f"systemctl show --property=MemoryMax --value {unit}")
    assert shown == str(memory)
    shown = host.check_output(f"systemctl show --property=CPUQuotaPerSecUSec --value {unit}")
    assert shown == "500ms"
    assert_hardened(host, unit, 2.0, "_victoria-metrics")


def test_its_metrics_are_those_that_rules_name(host: Host) -> None:
    shown = host.check_output(f"curl -fsS {LOCAL}/metrics")
    shown += host.check_output(f"curl -fsS {FORWARDER}/metrics")
    rules = yaml.safe_load(
        (ROOT / "roles/victoriametrics/files/alerts/victoriametrics.yml").read_text()
    )
    names = {
        selector.name
        for group in rules["groups"]
        for rule in group["rules"]
        for selector in selectors(rule["expr"])
        # Thresholds, and what others measure
        if not selector.name.startswith(("lookout", "node_", "up"))
    }
    assert len(names) > 8
    assert {name for name in names if not re.search(rf"^{name}(\{{| )", shown, re.M)} == set()


def test_five_thousand_series_are_stored_and_answered_within_the_limit(host: Host) -> None:
    program = 'BEGIN {for (i = 0; i < n; i++) print "many{n=\\"" i "\\"} " i}'
    lines = f"awk -v n={SERIES} '{program}'"
    send = f"curl -fsS --data-binary @- {LOCAL}/api/v1/import/prometheus"
    for _ in range(4):
        host.check_output("sh -c %s", f"{lines} | {send}")
        time.sleep(1)
    assert wait_for(lambda: number(host, LOCAL, "count(last_over_time(many[5m]))") == SERIES, 60)
    query = "sum(sum_over_time(many[5m]))"
    assert wait_for(lambda: number(host, LOCAL, query) == 4 * SERIES * (SERIES - 1) / 2, 60), (
        "every sample counts"
    )
    assert number(host, LOCAL, 'count({__name__!=""})') > SERIES
    memory, forwarder = pss(host, UNIT), pss(host, AGENT)
    print(f"{memory} kB, forwarder {forwarder} kB with {SERIES} series more")
    assert memory < MOST_MEMORY_KB
    assert forwarder < 64_000


def test_killed_both_are_started_again(host: Host) -> None:
    host.check_output(f"kill -9 {main_pid(host, UNIT)} {main_pid(host, AGENT)}")
    assert wait_for(lambda: host.run(f"curl -fsS {LOCAL}/health").rc == 0, 30)
    assert number(host, LOCAL, "count(last_over_time(many[1h]))") == SERIES
    later = now(host)
    assert wait_for(lambda: number(host, LOCAL, 'timestamp(up{job="robot_only"})') > later, 90)


def test_a_backup_brings_back_what_was_deleted(host: Host) -> None:
    """By the code of the backup alone; molecule/backup proves what is around it."""
    host.check_output("apt-get install -qq --yes python3-yaml")
    put(host, ROOT / "files/agents/src/lookout")
    put(host, ROOT / "molecule/victoriametrics/cycle.py")
    step = "python3 -B /root/cycle.py"
    many = "count(last_over_time(many[1h]))"
    held = json.loads(host.check_output(f"{step} save"))
    assert held["victoriametrics"] > 100
    assert host.run("ls /var/lib/victoria-metrics/snapshots/*").rc != 0
    assert json.loads(host.check_output(f"{step} judge")) == []
    host.check_output(f"curl -fsS '{LOCAL}/api/v1/admin/tsdb/delete_series?match[]=many'")
    assert wait_for(lambda: number(host, LOCAL, many) == -1)
    host.check_output(f"systemctl stop {UNIT} {AGENT}")
    host.check_output(f"{step} put")
    host.check_output(f"systemctl start {UNIT} {AGENT}")
    assert wait_for(lambda: host.run(f"curl -fsS {LOCAL}/health").rc == 0)
    assert number(host, LOCAL, many) == SERIES
    later = now(host)
    assert wait_for(lambda: number(host, LOCAL, 'timestamp(up{job="robot_only"})') > later, 90)
    part = "/var/lib/cycle/stage/data/metadata/minTimestampForCompositeIndex"
    host.check_output(f"sh -c 'rm {part}; echo {{}} > {part}'")
    assert "has changed" in host.check_output(f"{step} judge")
    host.check_output("rm -r /var/lib/cycle /root/lookout /root/cycle.py")


def test_a_scrape_configuration_that_it_refuses_does_not_go_live() -> None:
    def running() -> list[tuple[str, int]]:
        return [
            (host.check_output(f"sha256sum {CONFIG}"), main_pid(host, AGENT))
            for host in map(connect, host_names())
        ]

    before = running()
    wrong = [{"job_name": "wrong", "static_configs": "nonsense"}]
    done = converge(*host_names(), victoriametrics_extra_scrape_configs=wrong)
    assert done.returncode != 0
    assert done.stdout.count("cannot unmarshal") >= len(before)
    assert running() == before


def test_a_release_archive_runs_and_the_package_comes_back() -> None:
    """The archive is made of Debian's own program, as the project lays out its releases."""
    sums = {name: served_archive(connect(name)) for name in host_names()}
    url = "http://127.0.0.1:8901/victoria-metrics-linux-amd64-v1.0.0.tar.gz"

    def run(checksums: dict[str, str]) -> CompletedProcess[str]:
        of_host = f"{{{{ {checksums}[inventory_hostname] }}}}"
        return converge(
            *sums, victoriametrics_archive_url=url, victoriametrics_archive_checksum=of_host
        )

    def programs() -> set[str]:
        return {
            host.check_output(f"readlink /proc/{main_pid(host, UNIT)}/exe")
            for host in map(connect, sums)
        }

    done = run(dict.fromkeys(sums, "sha256:" + 64 * "0"))
    assert done.returncode != 0
    assert done.stdout.count("did not match") >= len(sums), done.stdout[-3000:]
    assert programs() == {"/usr/bin/victoria-metrics"}
    done = run(sums)
    assert done.returncode == 0, done.stdout[-3000:]
    assert programs() == {
        f"/opt/victoriametrics/{checksum.partition(':')[2][:16]}/victoria-metrics-prod"
        for checksum in sums.values()
    }
    for name, checksum in sums.items():
        kept = connect(name).check_output("ls /opt/victoriametrics")
        assert kept == checksum.partition(":")[2][:16], "the one that did not arrive left a folder"
        assert number(connect(name), LOCAL, "count(last_over_time(many[1h]))") == SERIES
        assert_hardened(connect(name), UNIT, 2.0, "_victoria-metrics")
    done = converge(*sums)
    assert done.returncode == 0, done.stdout[-3000:]
    assert programs() == {"/usr/bin/victoria-metrics"}
    assert {connect(name).file("/opt/victoriametrics").exists for name in sums} == {False}


def served_archive(host: Host) -> str:
    """Make the archive and serve it on loopback; its checksum."""
    name = "victoria-metrics-linux-amd64-v1.0.0.tar.gz"
    copied = "cp /usr/bin/victoria-metrics /root/release/victoria-metrics-prod"
    packed = f"tar -czf /root/release/{name} -C /root/release victoria-metrics-prod"
    host.check_output(f"mkdir -p /root/release && {copied} && {packed}")
    serve = "python3 -m http.server --bind 127.0.0.1 --directory /root/release 8901"
    host.check_output(f"systemd-run --unit=release {serve}")
    return "sha256:" + str(host.check_output(f"sha256sum /root/release/{name}").split()[0])
