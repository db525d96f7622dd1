"""What the site looks like from a neighbour: ports, certificates, passwords."""

from __future__ import annotations

import json

import pytest
from hosts import connect, scan
from testinfra.host import Host

TLS = "/etc/lookout/tls"
RIGHT, WRONG = "alice:correct horse battery", "alice:correct horse cavalry"


@pytest.mark.parametrize(
    ("origin", "target", "ports"),
    [
        # ssh is how backups come in; 4040 is for monitoring hosts, the rest is on loopback
        ("web", "mon", [22, 80, 443]),
        ("mon", "web", [9100, 9701]),
    ],
)
def test_a_port_scan_finds_what_was_declared(origin: str, target: str, ports: list[int]) -> None:
    assert scan(connect(origin), target)["tcp"] == ports


def status(host: Host, url: str, *options: str) -> str:
    """The status of an answer, 000 where there is none."""
    words = " ".join(f"'{option}'" for option in options)
    asked = f"curl -sS --max-time 10 -o /dev/null -w '%{{http_code}}' --cacert {TLS}/ca.pem"
    return str(host.run(f"{asked} {words} {url}").stdout)


def shown(kind: str) -> tuple[str, ...]:
    return ("--cert", f"{TLS}/{kind}/fullchain.pem", "--key", f"{TLS}/{kind}/privkey.pem")


def test_the_exporter_answers_to_the_monitoring_host_alone(mon: Host) -> None:
    url = "https://web:9100/metrics"
    assert status(mon, url) == "000"
    assert status(mon, url, *shown("host")) == "000"
    assert status(mon, url, *shown("client")) == "200"
    assert status(mon, "http://web:9100/metrics") == "400"


def test_the_metrics_port_of_the_gateway_asks_for_a_certificate(mon: Host) -> None:
    url = "https://mon:4040/nginx"
    assert status(mon, url) == "400"
    assert status(mon, url, *shown("host")) == "400"
    assert status(mon, url, *shown("client")) == "200"


def test_people_come_in_by_a_password(web: Host) -> None:
    url = "https://mon/prometheus/api/v1/query?query=up"
    assert status(web, url) == "401"
    assert status(web, url, "--user", WRONG) == "401"
    assert status(web, url, "--user", RIGHT) == "200"
    assert status(web, "http://mon/prometheus/") == "301"
    assert status(web, "https://mon/", "--user", RIGHT) == "200"


@pytest.mark.parametrize(
    "path",
    ["api/v1/admin/tsdb/snapshot", "api/v1//admin/tsdb/clean_tombstones", "-/reload", "-/quit"],
)
def test_nobody_administers_prometheus_from_outside(web: Host, path: str) -> None:
    url = f"https://mon/prometheus/{path}"
    assert status(web, url, "--user", RIGHT, "--request", "POST") == "403"


def test_the_portal_learns_the_state_of_the_services(web: Host) -> None:
    answer = web.check_output(
        f"curl -fsS --cacert {TLS}/ca.pem --user '{RIGHT}' https://mon/portal/state"
    )
    states = {row["metric"]["job"]: row["value"][1] for row in json.loads(answer)["data"]["result"]}
    assert states["prometheus"] == states["alertmanager"] == "1"


def test_links_in_alerts_lead_to_the_gateway(mon: Host) -> None:
    assert "--web.external-url=https://mon/prometheus/" in mon.check_output(
        "tr '\\0' ' ' < /proc/$(systemctl show -P MainPID prometheus)/cmdline"
    )
