"""Prometheus: what it keeps, what it refuses, and that it runs what is on disk."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from typing import Any

import pytest
import yaml
from hosts import CURL, connect, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

UNIT = "prometheus.service"
URL = "https://127.0.0.1:9090"
RUN = "prometheus : Ensure Prometheus runs what is on disk"


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def api(host: Host, path: str, *options: str) -> Any:
    answer = host.check_output(f"{CURL} {' '.join(options)} '{URL}/api/v1/{path}'")
    return json.loads(answer)["data"]


def query(host: Host, promql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api(host, "query?" + urllib.parse.urlencode({"query": promql}))[
        "result"
    ]
    return found


def live_tree(host: Host) -> str:
    return str(host.check_output("readlink /etc/prometheus/config"))


def test_it_keeps_90_days_within_its_share_of_the_disk(host: Host) -> None:
    flags = api(host, "status/flags")
    assert flags["storage.tsdb.retention.time"] == "90d"
    disk = int(host.check_output("df --block-size=1 --output=size /var/lib/prometheus | tail -n 1"))
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
    parts = re.findall(r"(\d+)([KMGT]iB)", flags["storage.tsdb.retention.size"])
    cap = sum(int(count) * units[unit] for count, unit in parts)
    assert 0.69 * disk < cap <= 0.7 * disk


def test_it_scrapes_and_evaluates_every_15_seconds_within_limits(host: Host) -> None:
    live = yaml.safe_load(api(host, "status/config")["yaml"])
    assert live["global"]["scrape_interval"] == "15s"
    assert live["global"]["evaluation_interval"] == "15s"
    for job in live["scrape_configs"]:
        assert job["sample_limit"] > 0
        assert job["label_limit"] > 0
        assert job["body_size_limit"]


def test_it_watches_itself_and_takes_a_target_up_without_a_reload(host: Host, name: str) -> None:
    # Asked of the server itself: the stored series is as old as the last scrape.
    reloaded = (
        f"{CURL} {URL}/metrics"
        " | awk '/^prometheus_config_last_reload_success_timestamp_seconds / {print $2}'"
    )
    before = host.check_output(reloaded)
    assert before
    folder = "/etc/prometheus/targets/prometheus"
    target = '[{"targets": ["127.0.0.1:9090"], "labels": {"instance": "twin"}}]'
    host.check_output(f"echo '{target}' > {folder}/twin.yml")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not query(host, 'up{instance="twin"} == 1'):
        time.sleep(1)
    up = query(host, 'up{instance="twin"} == 1')
    targets = api(host, "targets?state=active")["activeTargets"]
    host.check_output(f"rm {folder}/twin.yml")
    assert up
    seen = {t["labels"]["instance"] for t in targets if t["labels"]["job"] == "prometheus"}
    assert seen == {name, "twin"}
    assert host.check_output(reloaded) == before


def test_it_listens_on_loopback_alone(host: Host) -> None:
    listening = host.check_output("ss -Hltn 'sport = :9090'").splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:9090"]


def test_its_samples_are_saved_proven_and_put_back(host: Host) -> None:
    # What the facts go by is a canary of half a minute ago: the first scrape has to be before that.
    assert wait_for(lambda: query(host, 'count_over_time(up{job="prometheus"}[10m]) > 4'), 120)
    part = Registered(host, "prometheus")
    snapshots = "/var/lib/prometheus/metrics2/snapshots"
    api(host, "admin/tsdb/snapshot", "-X POST")
    before = host.check_output(f"ls {snapshots}")
    facts = part.assert_a_copy_is_good()["prometheus"]
    assert host.check_output(f"ls -A {snapshots}") == before, "its own is gone, the other one stays"
    canary = facts["canaries"]["hour"]
    assert 0 <= canary["at"] - canary["value"] < 15
    assert facts["series"]["by_job"]["prometheus"] > 100

    one = f"prometheus/{next(iter(facts['blocks']))}"
    flip = f"printf x | dd of={one}/chunks/000001 bs=1 seek=2000 conv=notrunc"
    part.assert_damage_is_found(flip, "has changed: sha256")
    part.assert_damage_is_found(f"rm -r {one}", "is missing")
    part.assert_damage_is_found("rm files/etc/prometheus/config.trees/*/prometheus.yml", "missing")
    assert part.check().rc != 0
    # The manifest of another day: Prometheus itself has the last word.
    later = 'sed -i \'s/"value": 1/"value": 2/\' ../drill.json'
    part.assert_damage_is_found(later, "the canary at the oldest moment is")

    part.done("save")
    at = time.time()
    host.check_output(f"systemctl stop {UNIT}")
    for step, kept in (("put", False), ("undo", True)):
        part.done(step)
        part.done(step)
        host.check_output(f"systemctl start {UNIT}")
        assert wait_for(lambda: host.run(f"{CURL} {URL}/-/ready").rc == 0, 60)
        held = query(host, f"min_over_time(lookout:canary[1h]) < {at}")
        assert held[0]["value"][1] == str(facts["canaries"]["oldest"]["value"])
        assert host.file(f"{snapshots}").exists is kept
        host.check_output(f"systemctl stop {UNIT}")
    owners = host.check_output("find /var/lib/prometheus/metrics2 -not -user prometheus")
    assert owners == ""
    host.check_output(f"systemctl start {UNIT}")
    part.forget()


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    assert_hardened(host, UNIT, 2.0)


def test_it_has_time_to_stop(host: Host) -> None:
    """A 90-day database is flushed for minutes; systemd must not kill it before that."""
    shown = host.check_output(f"systemctl show --property=TimeoutStopUSec --value {UNIT}")
    assert shown == "10min"


def test_it_is_back_after_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, f"{URL}/-/ready")


def test_samples_survive_a_changed_retention(host: Host, name: str) -> None:
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline and not query(host, "up"):
        time.sleep(1)
    moment = int(host.check_output("date +%s"))

    def samples() -> str:
        return str(query(host, f"sum(count_over_time(up[5m] @ {moment}))")[0]["value"][1])

    before = samples()
    done = converge(name, prometheus_retention_time="60d")
    assert done.returncode == 0, done.stdout[-2000:]
    assert api(host, "status/flags")["storage.tsdb.retention.time"] == "60d"
    assert samples() == before
    back = converge(name)
    assert back.returncode == 0, back.stdout[-2000:]
    assert samples() == before


def test_a_rule_with_a_syntax_error_is_refused_and_the_old_rules_stay(
    host: Host, name: str
) -> None:
    tree, pid = live_tree(host), main_pid(host, UNIT)
    rule = "groups: [{name: broken, rules: [{alert: Broken, expr: 'sum(up'}]}]"
    done = converge(name, prometheus_extra_rules={"broken.yml": rule})
    assert done.returncode != 0
    assert "broken.yml" in done.stdout
    assert "stays as it was" in done.stdout
    assert live_tree(host) == tree
    assert main_pid(host, UNIT) == pid
    assert not host.run("ls /etc/prometheus/config.trees | grep new").stdout


def test_what_cannot_be_understood_is_refused_all_at_once() -> None:
    """The control node says so: one release does."""
    host = connect("trixie")
    tree = live_tree(host)
    done = converge(
        "trixie",
        prometheus_retention_time="90days",
        prometheus_scrape_interval="soon",
        prometheus_retention_disk_percent=95,
    )
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "prometheus_retention_time must be a number and one of" in said
    assert "such as 90d or 12h, got 90days" in said
    assert "such as 90d or 12h, got soon" in said
    assert "a whole number from 1 to 80, got 95" in said
    assert live_tree(host) == tree


def test_a_configuration_that_it_does_not_take_is_rolled_back(host: Host, name: str) -> None:
    """promtool lets this one pass, and Prometheus does not: the query log cannot be opened."""
    tree = live_tree(host)
    done = converge(name, prometheus_extra_global={"query_log_file": "/nonexistent/query.log"})
    assert done.returncode != 0
    assert "the former one is live again" in done.stdout
    assert live_tree(host) == tree
    # asked of Prometheus itself, as its last sample may be from the moment between
    shown = host.check_output(f"{CURL} {URL}/metrics")
    assert "\nprometheus_config_last_reload_successful 1\n" in shown


def test_a_reload_that_a_dead_run_left_out_is_made_up_for(host: Host, name: str) -> None:
    """The state between the swap of the tree and the reload, as a kill leaves it.

    The run is the first one after the roll-back too: it finds nothing else to do.
    """
    host.check_output("ln -sfn config.trees/gone /etc/prometheus/config.loaded")
    done = converge(name)
    assert done.returncode == 0, done.stdout[-2000:]
    assert changed_tasks(done) == [RUN]
    assert host.check_output("readlink /etc/prometheus/config.loaded") == live_tree(host)


def test_a_port_that_somebody_else_has_is_named_with_its_owner(host: Host, name: str) -> None:
    host.check_output(f"systemctl stop {UNIT}")
    host.check_output("systemd-run --unit=squatter python3 -m http.server --bind 127.0.0.1 9090")
    time.sleep(1)
    done = converge(name)
    host.check_output("systemctl stop squatter")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "Port 9090" in said
    assert "taken by python3" in said
    assert "prometheus_port" in said
    # It is started again, and the runs before have left nothing to do.
    again = converge(name)
    assert again.returncode == 0, again.stdout[-2000:]
    assert changed_tasks(again) == [RUN]
