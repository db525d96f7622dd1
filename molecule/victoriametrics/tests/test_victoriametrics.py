"""VictoriaMetrics on a robot: what it stores, what it forwards, and what faults cost."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hosts import CURL, put, wait_for
from play import converge
from testinfra.host import Host
from units import assert_hardened, main_pid

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/contracts"))
from metric_names import selectors  # noqa: E402

UNIT, AGENT = "victoria-metrics.service", "victoria-metrics-agent.service"
LOCAL, FORWARDER = "http://127.0.0.1:8428", "http://127.0.0.1:8429"
SITE = "https://127.0.0.1:9090"
CONFIG = "/etc/victoriametrics/config/prometheus.yml"
SERIES = 5000
# Where the kernel limits nothing: what it may have is 150 MB (requirement C).
MOST_MEMORY_KB = 150_000
CUT_SECONDS = 20


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


def test_it_reads_the_very_file_that_prometheus_reads(host: Host) -> None:
    shown = "-promscrape.config=/etc/prometheus/config/prometheus.yml -promscrape.config.dryRun"
    assert host.run(f"victoria-metrics {shown} -promscrape.config.strictParse=false").rc == 0
    assert host.run(f"victoria-metrics {shown}").rc != 0, "strictly it would not"


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
        if not selector.name.startswith(("lookout:", "node_"))
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


def test_what_waited_while_the_site_was_away_arrives_whole(host: Host) -> None:
    """The forwarder is restarted meanwhile: what waits is on disk."""
    here = 'vm_app_uptime_seconds{job="robot_only"}'
    assert wait_for(lambda: number(host, SITE, here) > 0, 90)
    began = now(host)
    host.check_output("systemctl stop prometheus.service")
    time.sleep(CUT_SECONDS / 2)
    host.check_output(f"systemctl restart {AGENT}")
    time.sleep(CUT_SECONDS / 2)
    host.check_output("systemctl start prometheus.service")
    ended = now(host) + 5
    span = f"count_over_time({here}[{ended - began:.0f}s])"
    time.sleep(40)
    stored = number(host, LOCAL, span, ended)
    assert stored > CUT_SECONDS * 0.6
    assert wait_for(lambda: number(host, SITE, span, ended) >= stored - 1, 120), (
        stored,
        number(host, SITE, span, ended),
        host.check_output(f"journalctl --no-pager -o cat -u {AGENT} | tail -5"),
    )
    print(f"{stored:.0f} samples stored, {number(host, SITE, span, ended):.0f} at the site")


def test_after_a_power_cut_it_has_what_it_had(host: Host) -> None:
    assert number(host, LOCAL, "count(last_over_time(many[1h]))") == SERIES
    pids = f"{main_pid(host, UNIT)} {main_pid(host, AGENT)}"
    host.check_output(f"kill -9 {pids}")
    began = time.monotonic()
    assert wait_for(lambda: host.run(f"curl -fsS {LOCAL}/health").rc == 0, 30)
    print(f"answers {time.monotonic() - began:.1f} s after the cut")
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


def test_a_scrape_configuration_that_it_refuses_does_not_go_live(host: Host) -> None:
    name = host.backend.name.rpartition("-")[2]
    before = host.check_output(f"sha256sum {CONFIG}"), main_pid(host, AGENT)
    wrong = [{"job_name": "wrong", "static_configs": "nonsense"}]
    done = converge(name, victoriametrics_extra_scrape_configs=wrong)
    assert done.returncode != 0
    assert "cannot unmarshal" in done.stdout
    assert (host.check_output(f"sha256sum {CONFIG}"), main_pid(host, AGENT)) == before
