"""The exporter: what it says of nginx, while it runs, while it does not, and while it is full."""

from __future__ import annotations

import re
import time

import pytest
import yaml
from hosts import CURL, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

UNIT = "prometheus-nginx-exporter.service"
URL = "http://127.0.0.1:9113/metrics"
MOST_MEMORY_KB = 40_000

# Requests that take some seconds, one after the other: a connection that has not asked yet nginx
# closes to make room for the next, and calls it handled.
HOLD = """
import socket, ssl, time
held = []
context = ssl._create_unverified_context()
for _ in range(60):
    try:
        held.append(context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 5)))
        held[-1].sendall(b"GET /app/wait/4000 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    except OSError:
        pass  # one of those that are dropped
    time.sleep(0.05)
time.sleep(5)
"""


def metrics(host: Host) -> dict[str, float]:
    shown = host.check_output(f"curl -fsS {URL}")
    return {found[1]: float(found[2]) for found in re.finditer(r"^(nginx_\w+) (\S+)$", shown, re.M)}


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def test_it_says_what_the_alerts_need(host: Host) -> None:
    before = metrics(host)
    assert before["nginx_up"] == 1
    host.check_output(f"{CURL} -o /dev/null 'https://localhost/app/?[1-20]'")
    after = metrics(host)
    # Each look at the status page is one as well.
    assert after["nginx_http_requests_total"] - before["nginx_http_requests_total"] == 21
    for number in ("accepted", "handled", "active", "reading", "writing", "waiting"):
        assert f"nginx_connections_{number}" in after
    assert after["nginx_connections_accepted"] == after["nginx_connections_handled"]


def test_it_survives_an_nginx_that_is_down(host: Host) -> None:
    pid = main_pid(host, UNIT)
    host.check_output("systemctl stop nginx")
    assert metrics(host) == {"nginx_up": 0}
    host.check_output("systemctl start nginx")
    assert wait_for(lambda: metrics(host)["nginx_up"] == 1)
    assert main_pid(host, UNIT) == pid


def test_it_may_be_started_before_nginx(host: Host) -> None:
    """As at a boot; the exporter of Debian 12 would give up."""
    host.check_output(f"systemctl stop nginx && systemctl restart {UNIT}")
    time.sleep(3)
    assert host.check_output(f"systemctl show --property=NRestarts --value {UNIT}") == "0"
    host.check_output("systemctl start nginx")
    assert wait_for(lambda: "nginx_up 1" in host.run(f"curl -fsS {URL}").stdout)


def test_dropped_connections_are_the_difference(host: Host) -> None:
    """What NginxConnectionsDropped counts on, with an nginx that may have few."""
    config = "/etc/nginx/config/nginx.conf"
    host.check_output(
        f"cp {config} {config}.kept && sed -i 's/worker_processes .*/worker_processes 1;/; "
        f"s/worker_connections .*/worker_connections 24;/' {config} && systemctl restart nginx"
    )
    try:
        host.check_output("python3 -c %s", HOLD)
        seen = wait_for(lambda: metrics(host).get("nginx_connections_accepted") and metrics(host))
        assert seen["nginx_connections_accepted"] - seen["nginx_connections_handled"] > 0
    finally:
        host.check_output(f"mv {config}.kept {config} && systemctl restart nginx")


def test_it_listens_on_loopback_alone(host: Host) -> None:
    listening = host.check_output("ss -Hltn 'sport = :9113'").splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:9113"]


def test_it_is_scraped_through_the_metrics_server(host: Host, name: str) -> None:
    file = host.file(f"/etc/prometheus/targets/nginx_exporter/{name}.yml")
    assert yaml.safe_load(file.content_string) == [
        {"targets": ["127.0.0.1:4040"], "labels": {"instance": name}}
    ]


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    assert_hardened(host, UNIT, 2.5)
    shown = host.check_output(f"grep ^Pss: /proc/{main_pid(host, UNIT)}/smaps_rollup")
    assert int(shown.split()[1]) < MOST_MEMORY_KB


def test_its_configuration_is_saved_and_proven(host: Host) -> None:
    part = Registered(host, "configuration-nginx_exporter")
    part.assert_a_copy_is_good()
    part.assert_damage_is_found("rm -r files/etc/default", "missing")
    part.forget()


def test_it_is_back_after_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, URL)


def test_flags_that_a_dead_run_left_unread_are_taken_up(host: Host, name: str) -> None:
    """The state between the change of the flags and the restart, as a kill leaves it."""
    host.check_output("touch /etc/default/prometheus-nginx-exporter")
    done = converge(name)
    assert changed_tasks(done) == ["nginx_exporter : Ensure the exporter runs what is on disk"]


def test_a_flag_that_it_does_not_know_is_reported_with_its_own_words(host: Host, name: str) -> None:
    done = converge(name, nginx_exporter_flags=["no-such-flag"])
    assert done.returncode != 0
    assert "no-such-flag" in done.stdout
    assert "the former one is live again" in " ".join(done.stdout.split())
    assert metrics(host)["nginx_up"] == 1, "it has to run as it did before"
    assert converge(name).returncode == 0
