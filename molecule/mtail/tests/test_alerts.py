"""The rules on what mtail and the exporter really say, as Prometheus stores it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from gateway import (
    NOT_OF_NGINX,
    PROMETHEUS,
    lines_in_log,
    logged,
    query,
    send,
    write_lines,
)
from hosts import CURL, wait_for
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/contracts"))
from metric_names import selectors  # noqa: E402

ROLES = ("mtail", "nginx_exporter")
RULES: list[dict[str, Any]] = [
    rule
    for role in ROLES
    for group in yaml.safe_load(
        (ROOT / f"roles/{role}/files/alerts/{role}.yml").read_text(encoding="utf-8")
    )["groups"]
    for rule in group["rules"]
]
BUCKETS = [0, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10]


@pytest.fixture(scope="module", autouse=True)
def traffic(host: Host) -> int:
    """Some of everything, once the series are there for Prometheus; the log's first line of it."""
    up = 'count(up{job=~"mtail|nginx_exporter"} == 1)'
    assert wait_for(lambda: [s["value"][1] for s in query(host, up)] == ["2"]), host.check_output(
        f"{CURL} {PROMETHEUS}/api/v1/targets"
    )
    for path in (
        "/",
        "/app/status/200",
        "/app/status/500",
        "/app/status/503",
        "/gone/",
        "/timed/wait/40",
    ):
        send(host, path, 2)
    send(host, "/private/", 1, "--user alice:wrong")
    write_lines(host, NOT_OF_NGINX)
    for present in (
        'lookout_http_requests_total{code="503"}',
        "lookout_http_log_lines_unparsed_total",
    ):
        assert wait_for(lambda name=present: query(host, f"{name} > 0"))
    first = lines_in_log(host)
    send(host, "/timed/wait/40", 10)
    send(host, "/timed/wait/700", 22)
    send(host, "/timed/wait/2300", 8)
    send(host, "/app/status/500", 9)
    send(host, "/gone/", 12)
    send(host, "/private/", 40, "--user alice:wrong")
    write_lines(host, *[NOT_OF_NGINX] * 9)
    return first


def test_what_the_rules_select_is_there(host: Host) -> None:
    """Names and labels: a typing error in either would select nothing, for ever."""
    for text in sorted({s.prettify() for rule in RULES for s in selectors(rule["expr"])}):
        assert wait_for(lambda t=text: query(host, f"count_over_time({t}[10m])")), text


def test_what_is_recorded_can_be_drawn(host: Host) -> None:
    for name in [rule["record"] for rule in RULES if "record" in rule]:
        found = wait_for(lambda recorded=name: query(host, recorded))
        assert found, name
        level = set(name.partition(":")[0].split("_"))
        for series in found:
            assert set(series["metric"]) == {"__name__", "job", *level}
            assert series["metric"]["job"] in ROLES


def test_quantiles_are_right_within_a_bucket(host: Host, traffic: int) -> None:
    times = sorted(
        entry["request_time"] for entry in logged(host, traffic) if entry["route"] == "timed"
    )
    assert len(times) == 40
    for quantile in (0.5, 0.95, 0.99):
        name = f"instance_route:lookout_http_request_duration_seconds:p{quantile * 100:.0f}_rate5m"
        true = times[min(int(quantile * len(times)), len(times) - 1)]
        upper = next(edge for edge in BUCKETS if true <= edge)
        lower = BUCKETS[BUCKETS.index(upper) - 1]

        def inside(name: str = name, lower: float = lower, upper: float = upper) -> bool:
            found = query(host, f'{name}{{route="timed"}}')
            return bool(found) and lower <= float(found[0]["value"][1]) <= upper

        assert wait_for(inside), (name, true, query(host, f'{name}{{route="timed"}}'))


@pytest.mark.parametrize(
    ("alert", "labels", "state"),
    [
        ("PasswordGuessing", 'route="private"', "firing"),
        # These wait for minutes before they fire, which promtool's tests do.
        ("RequestsSlow", 'route="timed"', "pending|firing"),
        ("RequestsFailing", 'route="app"', "pending|firing"),
        ("RequestsFailing", 'route="gone"', "pending|firing"),
        ("LogLinesNotUnderstood", "", "pending|firing"),
    ],
)
def test_alerts_take_notice(host: Host, alert: str, labels: str, state: str) -> None:
    wanted = f'ALERTS{{alertname="{alert}",alertstate=~"{state}",{labels}}}'
    assert wait_for(lambda: query(host, wanted)), query(host, "ALERTS")


def test_alerts_are_quiet_about_the_others(host: Host) -> None:
    others = 'ALERTS{alertname=~"RequestsSlow|RequestsFailing|PasswordGuessing",route="portal"}'
    assert query(host, others) == []
    assert query(host, 'ALERTS{alertname=~"Nginx.*|RequestsNotCounted"}') == []
