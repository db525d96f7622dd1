"""The page and its tasks against a real database, a real broker and a shop with a sign-in."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import CURL, wait_for
from parts import Registered
from play import converge
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

ROOT = Path(__file__).parents[3]
UNIT = "lookout-status.service"
URL = "https://127.0.0.1:9702"
DATABASE = "/var/lib/lookout/status/status.db"
AGENT = "/opt/lookout/status/current/bin/python -m lookout.status"
AS_AGENT = f"{AGENT} --config /etc/lookout/status/status.yml"
CANARIES = ("canary-database", "canary-shop", "canary-broker", "canary-notify")
MOST_MEMORY_KB = 50 * 1024
BROKER = "trixie"
TASKS = (
    "bookmarklet-status",
    "database-access",
    "monitoring",
    "queue-length",
    "rabbitmq-access",
    "website-access",
    "website-login",
)
ALIVE = '{"alerts": [{"status": "firing", "labels": {"alertname": "Watchdog"}}]}'


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def ask(host: Host, path: str) -> Any:
    """What the API answers."""
    return json.loads(host.check_output(f"{CURL} '{URL}/api/v1/{path}'"))


def run(host: Host, task: str) -> dict[str, Any]:
    """Run a task as its timer does, and return what the page says of it."""
    # Five starts within ten seconds are too many for systemd.
    unit = f"lookout-status-task@{task}.service"
    host.check_output(f"systemctl reset-failed {unit} 2>/dev/null; systemctl start {unit}")
    last: dict[str, Any] = ask(host, f"tasks/{task}?runs=1")["runs"][0]
    return last


def sql(host: Host, statement: str) -> None:
    """Change the history behind the page's back."""
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
    program += " c.execute(sys.argv[2]).fetchall()"
    as_agent = "runuser -u lookout-status -- python3 -c"
    host.check_output(f"{as_agent} %s %s %s", program, DATABASE, statement)


@contextmanager
def broken(host: Host, fault: str) -> Iterator[None]:
    """The shop with a fault."""
    host.check_output(f"touch /srv/shop/{fault}")
    try:
        yield
    finally:
        host.check_output(f"rm /srv/shop/{fault}")


def told(host: Host) -> list[dict[str, str]]:
    """The messages that arrived where the page sends them."""
    shown = host.run("cat /srv/shop/told.jsonl").stdout
    return [json.loads(line) for line in shown.splitlines()]


@pytest.mark.parametrize("task", TASKS)
def test_each_task_works(host: Host, task: str) -> None:
    # No Prometheus of the scenario fires the Watchdog.
    host.check_output(f"{CURL} -d '{ALIVE}' {URL}/heartbeat/monitoring")
    last = run(host, task)
    assert last["ok"], last["message"]


def test_each_task_has_its_timer(host: Host) -> None:
    timers = host.check_output("systemctl list-timers --all --no-legend 'lookout-status*'")
    names = set(re.findall(r"lookout-status-(\S+)\.timer", timers))
    assert names == {*(f"task@{task}" for task in TASKS), "prune", "report"}
    shown = host.check_output("systemctl show lookout-status-task@website-login.timer")
    assert "OnCalendar=*-*-* *:00/10:00" in shown
    assert "RandomizedDelayUSec=1min" in shown
    assert "04:08:00" in host.check_output("systemctl show lookout-status-report.timer")


@pytest.mark.parametrize(
    ("task", "fault", "said"),
    [
        ("website-access", "error", "status 500 instead of 200"),
        ("website-access", "empty", "does not hold the text 'Welcome'"),
        ("website-access", "hang", "it was ended after 10 seconds|no answer in time"),
        ("website-login", "refuse", "is the password refused"),
        ("website-login", "open", "is seen without signing in"),
        ("website-login", "stay", "signed out, and the text 'Your orders' is still seen"),
        ("bookmarklet-status", "script", "its type is text/html"),
    ],
)
def test_a_broken_shop_is_seen_and_a_mended_one_too(
    host: Host, task: str, fault: str, said: str
) -> None:
    with broken(host, fault):
        last = run(host, task)
    assert not last["ok"]
    assert re.search(said, last["message"])
    assert run(host, task)["ok"]
    incident = ask(host, f"incidents?task={task}&limit=1")["incidents"][0]
    assert incident["ended"]
    assert re.search(said, incident["message"])


def test_a_database_that_is_down_is_seen(host: Host) -> None:
    host.check_output("systemctl stop postgresql")
    try:
        last = run(host, "database-access")
        assert not last["ok"]
        assert "Connection refused" in last["message"]
        assert "fails" in host.check_output(f"{CURL} {URL}/"), "the page does without it"
    finally:
        host.check_output("systemctl start postgresql")
    assert wait_for(lambda: run(host, "database-access")["ok"])


def test_a_database_with_another_password_is_seen(host: Host) -> None:
    alter = "runuser -u postgres -- psql -c \"ALTER ROLE status PASSWORD '{}'\""
    host.check_output(alter.format("another"))
    try:
        assert "password authentication failed" in run(host, "database-access")["message"]
    finally:
        host.check_output(alter.format("canary-database"))
    assert run(host, "database-access")["ok"]


def test_a_broker_that_is_down_is_seen(host: Host, name: str) -> None:
    if name != BROKER:
        pytest.skip("the broker is the other host's")
    host.check_output("rabbitmqctl stop_app")
    try:
        last = run(host, "rabbitmq-access")
        assert not last["ok"]
        assert last["message"] == "Connection refused"
    finally:
        host.check_output("rabbitmqctl start_app")
    assert wait_for(lambda: run(host, "rabbitmq-access")["ok"], 60)
    assert host.check_output("rabbitmqctl -q list_queues name --no-table-headers") == ""


def test_a_broker_with_another_password_is_seen(host: Host, name: str) -> None:
    if name != BROKER:
        pytest.skip("the broker is the other host's")
    change = "printf %s {} | rabbitmqctl change_password status"
    host.check_output(change.format("another"))
    try:
        assert run(host, "rabbitmq-access")["message"] == "the broker refuses the password"
    finally:
        host.check_output(change.format("canary-broker"))
    assert run(host, "rabbitmq-access")["ok"]


def test_a_class_of_the_site_finds_what_it_is_for(host: Host) -> None:
    host.check_output("cd /srv/queue && touch 1 2 3 4 5 6")
    last = run(host, "queue-length")
    assert last["message"] == "6 orders wait, at most 5 may (queue-length)"
    host.check_output("rm /srv/queue/6")
    assert run(host, "queue-length")["ok"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def", "SyntaxError"),
        ("import time\\ntime.sleep(60)", "it was ended after 3 seconds without an answer"),
        ("import os\\nos._exit(5)", "its process died: exit status 5"),
    ],
)
def test_a_class_that_is_broken_breaks_no_other_task(host: Host, text: str, said: str) -> None:
    file = "/etc/lookout/status-tasks.d/queue_length.py"
    host.check_output(f"cp -p {file} /root/kept.py && printf '{text}\\n' > {file}")
    try:
        assert said in run(host, "queue-length")["message"]
        assert run(host, "website-access")["ok"]
        assert host.run(f"{AS_AGENT} --check").rc == 0
        assert "Queue length" in host.check_output(f"{CURL} {URL}/")
    finally:
        host.check_output(f"cp -p /root/kept.py {file}")
    assert run(host, "queue-length")["ok"]


def test_a_class_that_others_could_have_written_is_not_run(host: Host) -> None:
    file = "/etc/lookout/status-tasks.d/queue_length.py"
    host.check_output(f"chmod o+w {file}")
    assert "can be written by others than root" in run(host, "queue-length")["message"]
    host.check_output(f"chmod o-w {file}")
    assert run(host, "queue-length")["ok"]


# --- the heartbeat, and who is told ---


def test_alertmanager_sends_its_heartbeat(host: Host) -> None:
    sql(host, "DELETE FROM heartbeats")
    host.check_output("amtool alert add alertname=Watchdog severity=none team=on-call")
    assert wait_for(
        lambda: 'heartbeat="monitoring"} 0.0' not in host.check_output(f"{CURL} {URL}/metrics"), 120
    )
    # A run that the timer began before it came may still be at it.
    came = r"the last one came \d+ seconds ago"
    assert wait_for(lambda: re.fullmatch(came, run(host, "monitoring")["message"]), 60)


def test_people_are_told_while_the_monitoring_is_down(host: Host) -> None:
    host.check_output("rm -f /srv/shop/told.jsonl && systemctl stop prometheus-alertmanager")
    try:
        sql(host, "UPDATE heartbeats SET seen = seen - 3600")
        assert "the monitoring may be down" in run(host, "monitoring")["message"]
        run(host, "monitoring")
    finally:
        host.check_output("systemctl start prometheus-alertmanager")
    (message,) = told(host)
    assert message["title"] == "Heartbeat of the monitoring fails"
    assert "/status/task/monitoring" in message["message"]
    host.check_output(f"{CURL} -d '{ALIVE}' {URL}/heartbeat/monitoring")
    assert run(host, "monitoring")["ok"]
    assert told(host)[-1]["title"] == "Heartbeat of the monitoring works again"


# --- reports ---


def test_reports_are_tables_that_could_change_nothing(host: Host) -> None:
    assert host.run("systemctl start lookout-status-report.service").rc != 0, "two of them fail"
    found = {report["name"]: report for report in ask(host, "reports")["reports"]}
    assert found["orders"]["ok"]
    assert re.search("data-modifying|read-only|syntax error", found["locked"]["message"])
    assert "statement timeout" in found["slow"]["message"]
    rows = [*csv.reader(io.StringIO(host.check_output(f"{CURL} {URL}/report/orders.csv")))]
    assert rows[1:] == [["'=1+2", "1", "1.0"], ["Ann", "2", "15.5"], ["Bob", "1", "2.0"]]
    assert found["orders"]["truncated"], "Zoe is the fourth, and three may come"
    count = "runuser -u postgres -- psql -Atc 'SELECT count(*) FROM orders' shop"
    assert host.check_output(count) == "5"
    assert "Orders by customer" in host.check_output(f"{CURL} {URL}/report/orders")


# --- who gets in ---


def test_who_shows_no_certificate_of_a_client_is_turned_away(host: Host) -> None:
    ca = "--cacert /etc/lookout/tls/ca.pem"
    refused = host.run(f"curl -sS {ca} {URL}/")
    assert refused.rc != 0
    assert "certificate required" in refused.stderr, "it is told why"
    own = "--cert /etc/lookout/tls/host/fullchain.pem --key /etc/lookout/tls/host/privkey.pem"
    assert host.run(f"curl -sS {ca} {own} {URL}/").rc != 0


def test_people_sign_in_at_the_gateway(host: Host) -> None:
    status = "curl -s --cacert /etc/lookout/tls/ca.pem -o /dev/null -w '%{http_code}'"
    gateway = "https://localhost/status"
    assert host.check_output(f"{status} {gateway}/") == "401"
    signed = "-u 'alice:correct horse battery'"
    shown = host.check_output(f"{CURL} {signed} {gateway}/")
    assert "signed in as <b>alice</b>" in shown
    for path in ("task/website-login", "api/v1/tasks", "static/style.css"):
        assert host.check_output(f"{status} {signed} {gateway}/{path}") == "200", path
    for path in ("metrics", "heartbeat/monitoring"):
        assert host.check_output(f"{status} {signed} {gateway}/{path}") == "403", path


def test_secrets_are_where_they_have_to_be_and_nowhere_else(host: Host) -> None:
    run(host, "database-access")
    seen = host.check_output("journalctl --no-pager -o cat; cat /var/log/monitoring/status.log")
    seen += host.check_output("cat /etc/lookout/status/*; systemctl show 'lookout-status*'")
    seen += host.check_output(f"{CURL} {URL}/; {CURL} {URL}/api/v1/tasks; {CURL} {URL}/metrics")
    seen += host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert [canary for canary in CANARIES if canary in seen] == []
    in_history = host.run("grep -c canary- " + DATABASE)
    assert in_history.stdout.strip() == "0"
    kept = host.check_output("find /etc/lookout/status.credentials/ -type f -perm /077")
    assert kept == ""


# --- faults ---


def test_a_full_disk_is_said_once_and_counted(host: Host) -> None:
    """The folder becomes a small tmpfs that is full, and the disk again."""
    folder = "/var/lib/lookout/status"
    host.check_output(
        f"systemctl stop {UNIT} && mkdir -p /mnt/small"
        " && mount -t tmpfs -o size=1m,mode=0750 none /mnt/small"
        f" && chown lookout-status: /mnt/small && cp -p {DATABASE} /mnt/small/"
    )
    drop_in = "/run/systemd/system/lookout-status.service.d"
    tasks = "/run/systemd/system/lookout-status-task@website-access.service.d"
    for place in (drop_in, tasks):
        host.check_output(
            f"mkdir -p {place} &&"
            f" printf '[Service]\\nBindPaths=/mnt/small:{folder}\\n' > {place}/small.conf"
        )
    host.check_output("systemctl daemon-reload")
    since = host.check_output("date '+%Y-%m-%d %H:%M:%S'")
    try:
        host.check_output(f"systemctl start {UNIT}")
        assert run(host, "website-access")["ok"]
        host.run("dd if=/dev/zero of=/mnt/small/fill bs=4k")
        for _ in range(12):
            unit = "lookout-status-task@website-access.service"
            if host.run(f"systemctl reset-failed {unit}; systemctl start {unit}").rc != 0:
                break
        else:
            pytest.fail("the disk is not full")
        assert wait_for(
            lambda: (
                "Not saved: the history cannot be written" in host.check_output(f"{CURL} {URL}/")
            ),
            100,
        )
        counted = host.check_output(f"{CURL} {URL}/metrics")
        assert re.search(r'status_database_errors_total\{what="write"\} [1-9]', counted)
        said = host.check_output(f"journalctl -u {UNIT} --since '{since}' -o cat --no-pager")
        assert said.count("the page goes on") == 1
        host.check_output("rm /mnt/small/fill")
        assert wait_for(lambda: "Not saved" not in host.check_output(f"{CURL} {URL}/"), 100)
        assert run(host, "website-access")["ok"]
    finally:
        host.check_output(
            f"rm -r {drop_in} {tasks}; systemctl daemon-reload;"
            f" systemctl restart {UNIT}; umount /mnt/small"
        )
    assert run(host, "website-access")["ok"]


def test_a_damaged_history_is_set_aside_and_the_page_goes_on(host: Host) -> None:
    pid = main_pid(host, UNIT)
    # What is in the journal would replace the pages that are damaged.
    sql(host, "PRAGMA wal_checkpoint(TRUNCATE)")
    host.check_output(f"dd if=/dev/urandom of={DATABASE} bs=4096 seek=1 count=20 conv=notrunc")
    host.check_output(f"dd if=/dev/urandom of={DATABASE} bs=1 count=60 conv=notrunc")
    assert run(host, "website-access")["ok"]
    page = host.check_output(f"{CURL} {URL}/")
    assert "The history was damaged at" in page
    assert "status_database_set_aside_files 1.0" in host.check_output(f"{CURL} {URL}/metrics")
    assert main_pid(host, UNIT) == pid, "the page is the same process"
    host.check_output(f"rm {DATABASE}.damaged-*")
    assert "The history was damaged" not in host.check_output(f"{CURL} {URL}/")


def test_the_backup_is_a_whole_copy_and_comes_back(host: Host) -> None:
    part = Registered(host, "status_page")
    facts = part.assert_a_copy_is_good()
    assert facts["sqlite"]["status.db"]["tables"]["runs"]["rows"] > 0
    assert "lookout-status-task@website-access.timer" in part.part.units
    part.assert_damage_is_found("truncate -s -4096 sqlite/status.db", "is damaged")
    part.forget()


def test_what_is_too_old_is_deleted(host: Host) -> None:
    run(host, "website-access")
    sql(host, "UPDATE runs SET started = started - 200 * 86400 WHERE task = 'queue-length'")
    run(host, "queue-length")
    host.check_output("systemctl start lookout-status-prune.service")
    metrics = host.check_output(f"{CURL} {URL}/metrics")
    (pruned,) = re.findall(r"^status_last_prune_timestamp_seconds (\S+)", metrics, re.M)
    assert float(pruned) > time.time() - 300
    assert ask(host, "tasks/queue-length?runs=1000")["runs"][-1]["started"] > "2026"


def test_it_has_every_metric_that_the_alerts_name(host: Host, name: str) -> None:
    run(host, "monitoring")
    rules = (ROOT / "roles/status_page/files/alerts/status_page.yml").read_text(encoding="utf-8")
    expressions = " ".join(
        rule["expr"] for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]
    )
    wanted = set(re.findall(r"(?<![:\w])status_\w+(?=\{)", expressions))
    assert len(wanted) == 6
    shown = host.check_output(f"{CURL} {URL}/metrics")
    assert wanted - set(re.findall(r"^status_\w+", shown, re.M)) == set()
    target = host.check_output(f"cat /etc/prometheus/targets/status_page/{name}.yml")
    assert yaml.safe_load(target) == [{"targets": ["127.0.0.1:9702"], "labels": {"instance": name}}]


# --- the service ---


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    assert_hardened(host, UNIT, 2.0, user="lookout-status")
    host.check_output(f"for n in $(seq 40); do {CURL} -o /dev/null {URL}/; done")
    shown = host.check_output(f"grep ^Pss: /proc/{main_pid(host, UNIT)}/smaps_rollup")
    print("PSS", shown)
    assert int(shown.split()[1]) < MOST_MEMORY_KB


def test_it_is_back_after_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, f"{URL}/", seconds=15)


def test_a_renewed_certificate_is_taken(host: Host) -> None:
    host.check_output("touch /etc/lookout/tls/host/fullchain.pem")
    taken = f"journalctl -u {UNIT} -o cat --no-pager | grep -c 'the certificates were renewed'"
    assert wait_for(lambda: host.run(taken).stdout.strip() not in ("", "0"), 40)
    assert wait_for(lambda: host.run(f"{CURL} {URL}/").rc == 0)


def test_a_mistake_is_refused_and_the_page_goes_on(host: Host, name: str) -> None:
    wrong = {"shop": {"kind": "website_access", "options": {"url": "shop.example.com"}}}
    done = converge(name, status_page_tasks=wrong)
    assert done.returncode != 0
    assert "tasks.shop.options.url" in " ".join(done.stdout.split())
    assert run(host, "website-access")["ok"]
    wrong = {"shop": {"every_minutes": 7, "options": {"password": "x"}}}
    done = converge(name, status_page_tasks=wrong)
    for part in ("shop.kind", "shop.every_minutes", "shop.options.password"):
        assert part in done.stdout
