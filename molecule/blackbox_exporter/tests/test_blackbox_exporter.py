"""Real probes of real servers, as the exporter shows them and as Prometheus stores them."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from hosts import CURL, put, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host

HERE = Path(__file__).parent
UNIT = "prometheus-blackbox-exporter.service"
CONFIG = "/etc/prometheus/blackbox"
EXPORTER = "https://127.0.0.1:9115"
PROMETHEUS = "https://127.0.0.1:9090"
MOST_EXPOSURE = 2.5
CAP_NET_RAW = 1 << 13
CERTIFICATE_DAYS = 2
SECONDS_A_DAY = 86400
MAKE_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
    f"-days {CERTIFICATE_DAYS} -subj /CN=localhost -addext subjectAltName=DNS:localhost "
    "-keyout /run/test.key -out /usr/local/share/ca-certificates/test.crt"
)

# name of the target, its module, its address, whether the probe succeeds
TARGETS = [
    ("page", "http_2xx", "http://127.0.0.1:8080/ok", True),
    ("form", "http_post_2xx", "http://127.0.0.1:8080/form", True),
    ("moved", "http_2xx", "http://127.0.0.1:8080/moved", False),
    ("broken", "http_2xx", "http://127.0.0.1:8080/broken", False),
    ("secure", "http_2xx", "https://localhost:8443/ok", True),
    ("not-trusted", "http_2xx", "https://127.0.0.1:8443/ok", False),
    ("secure-port", "tcp_tls", "localhost:8443", True),
    ("port", "tcp_connect", "127.0.0.1:8080", True),
    ("closed", "tcp_connect", "127.0.0.1:9", False),
    ("shell", "ssh_banner", "127.0.0.1:2222", True),
    ("no-shell", "ssh_banner", "127.0.0.1:2223", False),
    ("loopback", "icmp", "127.0.0.1", True),
    ("ours", "http_moved", "http://127.0.0.1:8080/moved", True),
]


def name_of(host: Host) -> str:
    return host.check_output("hostname")


def main_pid(host: Host) -> str:
    return host.check_output(f"systemctl show --property MainPID --value {UNIT}")


def process_status(host: Host) -> dict[str, str]:
    lines = host.check_output(f"cat /proc/{main_pid(host)}/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def metrics(host: Host, path: str) -> dict[str, float]:
    """The metrics at a path of the exporter, by name and labels as they stand."""
    shown = host.check_output(f"{CURL} '{EXPORTER}{path}'")
    pairs = (line.rsplit(" ", 1) for line in shown.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def probe(host: Host, module: str, target: str) -> dict[str, float]:
    return metrics(host, "/probe?" + urllib.parse.urlencode({"module": module, "target": target}))


def query(host: Host, promql: str) -> list[dict[str, Any]]:
    shown = host.check_output(
        f"{CURL} --data-urlencode %s %s",
        f"query={promql}",
        f"{PROMETHEUS}/api/v1/query",
    )
    found: list[dict[str, Any]] = json.loads(shown)["data"]["result"]
    return found


@pytest.fixture(scope="module", autouse=True)
def servers(host: Host) -> None:
    """The servers that are probed, started once on this host."""
    if host.run("systemctl is-active test-servers").rc == 0:
        return
    put(host, HERE / "servers.py")
    if not host.exists("openssl"):
        host.check_output("apt-get install -y -q --no-install-recommends openssl")
    host.check_output(f"{MAKE_CERTIFICATE} && update-ca-certificates")
    host.check_output(
        "systemctl reset-failed; systemd-run --unit test-servers python3 /root/servers.py "
        "/usr/local/share/ca-certificates/test.crt /run/test.key"
    )
    # The CA certificates are read at the first probe over TLS.
    host.check_output(f"systemctl restart {UNIT}")
    ports = "sport = :8080 or sport = :8443 or sport = :2222 or sport = :2223 or sport = :9115"
    assert wait_for(lambda: len(host.check_output(f"ss -Hltn '{ports}'").splitlines()) == 5), (
        host.check_output(f"journalctl --no-pager -n 30 -u test-servers -u {UNIT}")
    )


@pytest.mark.parametrize(
    ("module", "target", "succeeds"), [t[1:] for t in TARGETS], ids=[t[0] for t in TARGETS]
)
def test_a_probe_says_what_is(host: Host, module: str, target: str, succeeds: bool) -> None:
    assert bool(probe(host, module, target)["probe_success"]) == succeeds


def test_a_page_is_measured(host: Host) -> None:
    seen = probe(host, "http_2xx", "http://127.0.0.1:8080/ok")
    assert seen["probe_http_status_code"] == 200
    phases = {
        match[1]
        for name in seen
        if (match := re.match(r'probe_http_duration_seconds\{phase="(\w+)"\}', name))
    }
    assert phases == {"resolve", "connect", "tls", "processing", "transfer"}
    assert 0 < seen["probe_duration_seconds"] < 2


@pytest.mark.parametrize(
    ("module", "target"), [("http_2xx", "https://localhost:8443/ok"), ("tcp_tls", "localhost:8443")]
)
def test_the_end_of_a_certificate_is_known(host: Host, module: str, target: str) -> None:
    left = probe(host, module, target)["probe_ssl_earliest_cert_expiry"] - time.time()
    assert (CERTIFICATE_DAYS - 1) * SECONDS_A_DAY < left < CERTIFICATE_DAYS * SECONDS_A_DAY


def test_prometheus_has_every_target_under_its_name(host: Host) -> None:
    up = 'count(up{job="blackbox_exporter"} == 1)'
    assert wait_for(lambda: query(host, up) and query(host, up)[0]["value"][1] == str(len(TARGETS)))
    # Two scrapes after the servers came up
    time.sleep(5)
    found = {
        series["metric"]["instance"]: series
        for series in query(host, 'probe_success{job="blackbox_exporter"}')
    }
    assert {
        (
            instance,
            series["metric"]["module"],
            series["metric"]["target"],
            series["value"][1] == "1",
        )
        for instance, series in found.items()
    } == set(TARGETS)
    assert {series["metric"]["prober"] for series in found.values()} == {name_of(host)}
    assert set(found["page"]["metric"]) == {
        "__name__", "job", "instance", "module", "target", "prober",
    }  # fmt: skip


def test_prometheus_has_the_exporters_own_metrics(host: Host) -> None:
    assert wait_for(lambda: query(host, 'up{job="blackbox_exporter_self"} == 1'))
    (series,) = query(host, "blackbox_exporter_config_last_reload_successful")
    assert series["metric"]["job"] == "blackbox_exporter_self"
    assert series["metric"]["instance"] == name_of(host)
    assert series["value"][1] == "1"


def test_it_listens_on_loopback_alone(host: Host) -> None:
    listening = host.check_output("ss -Hltn 'sport = :9115'").splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:9115"]


def test_with_a_ping_it_may_open_raw_sockets_and_nothing_else(host: Host) -> None:
    status = process_status(host)
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == CAP_NET_RAW
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split()[0] == str(host.user("prometheus").uid)
    shown = host.check_output(f"systemd-analyze security --no-pager {UNIT}")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSURE
    inside = f"nsenter --target {main_pid(host)} --mount --"
    assert host.run(f"{inside} touch /var/lib/prometheus/x").rc != 0


def test_its_configuration_is_saved_and_proven(host: Host) -> None:
    part = Registered(host, "configuration-blackbox_exporter")
    part.assert_a_copy_is_good()
    part.assert_damage_is_found(
        "sed -i s/prober/probe/ files/etc/prometheus/blackbox/blackbox.yml", "is"
    )
    assert part.check().rc != 0, "its own program finds out, too"
    part.forget()


def test_it_is_back_after_a_kill(host: Host) -> None:
    former = main_pid(host)
    host.check_output(f"kill -9 {former}")
    assert wait_for(lambda: host.run(f"{CURL} {EXPORTER}/-/healthy").rc == 0, 5)
    assert main_pid(host) != former


def test_a_module_that_the_exporter_refuses_never_goes_live(host: Host) -> None:
    live, pid = host.check_output(f"readlink -f {CONFIG}"), main_pid(host)
    trees = host.check_output(f"ls {CONFIG}.trees")
    done = converge(
        name_of(host),
        blackbox_exporter_modules={
            "http_2xx": {"http": {"valid_status_codes": "fine"}},
            "http_moved": {"prober": "http"},
        },
    )
    assert done.returncode != 0
    assert host.check_output(f"readlink -f {CONFIG}") == live
    assert host.check_output(f"ls {CONFIG}.trees") == trees
    assert main_pid(host) == pid
    assert probe(host, "http_2xx", "http://127.0.0.1:8080/ok")["probe_success"] == 1
    assert metrics(host, "/metrics")["blackbox_exporter_config_last_reload_successful"] == 1


def test_mistakes_are_all_named_before_anything_changes() -> None:
    done = converge(
        "all",
        blackbox_exporter_targets=[
            {"name": "shop", "target": "https://a.example.com"},
            {"name": "shop", "target": "https://b.example.com"},
            {"name": "queue", "target": "mq.example.com", "module": "tcp_connect"},
            {"name": "page", "target": "www.example.com"},
            {"name": "router", "target": "192.0.2.1", "module": "ping"},
        ],
        blackbox_exporter_timeout_seconds=20,
    )
    assert done.returncode != 0
    assert changed_tasks(done) == []
    said = re.sub(r"\s+", " ", done.stdout)
    for words in (
        "2 targets are named shop",
        "queue: the module tcp_connect needs host and port, as in mq.example.com:443",
        "page: the module http_2xx needs a URL with its scheme, as in https://www.example.com",
        "router: unknown module ping",
        "blackbox_exporter_timeout_seconds must be more than 0 and at most 9 seconds",
    ):
        assert words in said, words


def test_a_run_that_died_before_the_reload_is_made_good(host: Host) -> None:
    pid = main_pid(host)
    before = metrics(host, "/metrics")[
        "blackbox_exporter_config_last_reload_success_timestamp_seconds"
    ]
    host.check_output(f"sed -i 's/timeout: 3s/timeout: 4s/' {CONFIG}/blackbox.yml")
    host.check_output(f"ln -sfn blackbox.trees/none {CONFIG}.loaded")
    done = converge(name_of(host))
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == [
        "blackbox_exporter : Ensure the modules are checked and in place",
        "blackbox_exporter : Ensure the exporter runs what is on disk",
    ]
    after = metrics(host, "/metrics")[
        "blackbox_exporter_config_last_reload_success_timestamp_seconds"
    ]
    assert after > before
    assert main_pid(host) == pid, "a reload is no restart"
    assert "timeout: 3s" in host.check_output(f"cat {CONFIG}/blackbox.yml")
    assert changed_tasks(converge(name_of(host))) == []


def test_without_a_ping_it_may_do_nothing_special(host: Host) -> None:
    """The last test: it leaves one target."""
    target = {"name": "page", "target": "http://127.0.0.1:8080/ok"}
    done = converge(name_of(host), blackbox_exporter_targets=[target])
    assert done.returncode == 0, done.stdout
    status = process_status(host)
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0
    up = 'up{job="blackbox_exporter"}'
    assert wait_for(lambda: [s["metric"]["instance"] for s in query(host, up)] == ["page"])
