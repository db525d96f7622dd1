"""What the site as a whole has to do; a fault is made first, as its alert takes minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboard_gate import dead_queries
from hosts import CURL, connect, run_id
from play import playbook
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "contracts"))
from dashboard_queries import dashboards, queries
from metric_names import rule_metrics
from site_tools import ROOT, Received, query, wait_for

FAULT: dict[str, float] = {}


def test_verify_playbook_finds_every_check_to_hold(mon: Host) -> None:
    wait_for(
        lambda: len(query(mon, 'up{job="node_exporter"} == 1')) == 2, 60, "two hosts are scraped"
    )
    done = playbook("playbooks/verify.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "FAILED" not in done.stdout


def test_watchdog_reaches_the_dead_mans_switch_alone(received: Received) -> None:
    wait_for(lambda: any(path == "/watchdog" for path, _ in received.webhooks), 120, "no Watchdog")
    for path, body in received.webhooks:
        names = {alert["labels"]["alertname"] for alert in body["alerts"]}
        assert ("Watchdog" in names) == (path == "/watchdog")


def test_a_stopped_exporter_is_a_fault(web: Host, received: Received) -> None:
    """Only makes the fault; `test_the_fault_reaches_…` waits for its alert.

    All that answers Prometheus on the host: one exporter alone would not be HostDown.
    """
    assert not [mail for mail in received.mails if "HostDown" in str(mail["Subject"])]
    web.check_output("systemctl stop prometheus-node-exporter lookout-watchdog")
    FAULT["since"] = time.monotonic()
    assert not web.service("prometheus-node-exporter").is_running


def test_verify_playbook_fails_and_names_what_is_down() -> None:
    done = playbook("playbooks/verify.yml")
    assert done.returncode != 0
    failed = [line.split() for line in done.stdout.splitlines() if " FAILED  " in f" {line}"]
    assert ["web", "node_exporter"] in [words[1:3] for words in failed]
    assert any("every target is up" in " ".join(words) for words in failed)


def test_every_metric_of_a_rule_exists_or_has_a_reason(mon: Host) -> None:
    """The gate against dead metrics: what no exporter emits can never alert."""
    answer = mon.check_output(f"{CURL} https://127.0.0.1:9090/api/v1/label/__name__/values")
    emitted = set(json.loads(answer)["data"])
    allowed = yaml.safe_load((ROOT / "tests/contracts/metrics_allowed.yml").read_text("utf-8"))
    used = rule_metrics(ROOT)
    dead = {name: alerts for name, alerts in used.items() if name not in emitted | set(allowed)}
    assert not dead


@pytest.fixture(scope="module")
def late() -> Iterator[dict[str, Any]]:
    """A host that joins the running site; its inventory file comes on top of the scenario's."""
    testbed = [sys.executable, str(ROOT / "molecule/shared/testbed.py")]
    subprocess.run(
        [*testbed, "up", run_id()],
        input=json.dumps([{"name": "late", "options": ["--cap-add", "NET_ADMIN"]}]),
        text=True,
        check=True,
    )
    inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "late.yml"
    variables = {"ansible_connection": "podman", "ansible_host": f"{run_id()}-late"}
    inventory.write_text(json.dumps({"application": {"hosts": {"late": variables}}}), "utf-8")
    yield {"inventory": str(inventory), "before": footprint(connect("late"))}
    inventory.unlink()


def footprint(host: Host) -> dict[str, set[str]]:
    """What a host consists of, without what time alone changes."""
    commands = {
        "files": "find / -xdev "
        r"\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /root/.ansible "
        r"-o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg "
        r"-o -path /var/lib/systemd -o -name '*.pyc' -o -name __pycache__ \) -prune -o -print",
        "users": "cut -d: -f1 /etc/passwd",
        "groups": "cut -d: -f1 /etc/group",
        "units": "systemctl list-unit-files --no-legend | awk '{print $1, $2}'",
        "ports": "ss -Hltnu | awk '{print $5}'",
        "packages": "dpkg-query -W -f '${db:Status-Abbrev}${Package}\n'",
    }
    return {kind: set(host.check_output(line).splitlines()) for kind, line in commands.items()}


def test_a_new_host_is_monitored_after_one_limited_run(mon: Host, late: dict[str, Any]) -> None:
    started = query(mon, "process_start_time_seconds{job='prometheus'}")[0]["value"][1]
    reloaded = query(mon, "prometheus_config_last_reload_success_timestamp_seconds")[0]["value"][1]
    done = playbook("-i", late["inventory"], "site.yml", "--limit", "late")
    assert done.returncode == 0, done.stdout[-3000:]
    wait_for(
        lambda: query(mon, 'up{job="node_exporter",instance="late"} == 1'), 60, "late is not up"
    )
    assert query(mon, "process_start_time_seconds{job='prometheus'}")[0]["value"][1] == started
    assert (
        query(mon, "prometheus_config_last_reload_success_timestamp_seconds")[0]["value"][1]
        == reloaded
    )


def test_a_removed_host_leaves_no_trace(mon: Host, late: dict[str, Any]) -> None:
    done = playbook("-i", late["inventory"], "playbooks/remove_host.yml", "-e", "host=late")
    assert done.returncode == 0, done.stdout[-3000:]
    after = footprint(connect("late"))
    for kind, before in late["before"].items():
        assert after[kind] - before == set(), f"{kind} left behind"
        assert before - after[kind] == set(), f"{kind} taken away that were there before"
    assert mon.run("find / -xdev -name 'late.yml' | grep .").rc == 1
    assert mon.run("grep -w late /var/lib/lookout/store/.ssh/authorized_keys").rc == 1
    assert not mon.file("/etc/lookout/backup_store.passwords/late").exists
    wait_for(lambda: not query(mon, 'up{instance="late"}'), 60, "late is still scraped")


def test_the_fault_reaches_mail_and_webhook_with_host_and_runbook(received: Received) -> None:
    runbook = "docs/runbooks/node_exporter.md#hostdown"

    def hook() -> bool:
        return any(
            alert["labels"]["alertname"] == "HostDown"
            and alert["labels"]["instance"] == "web"
            and alert["annotations"]["runbook"] == runbook
            and alert["status"] == "firing"
            for path, body in received.webhooks
            if path == "/on-call"
            for alert in body["alerts"]
        )

    def mail() -> bool:
        return any(
            "HostDown" in str(message) and "web" in str(message) and runbook in text(message)
            for message in received.mails
        )

    wait_for(hook, 300, "the webhook heard nothing")
    wait_for(mail, 30, "the mail server heard nothing")


def test_the_fault_is_on_the_alerts_overview(mon: Host) -> None:
    """Now its panels have something to show; HostDown is no warning."""
    asked = [
        asked
        for dashboard in dashboards()
        if dashboard["uid"] == "alerts-overview"
        for asked in queries(dashboard)
        if asked.panel != "Warning"
    ]
    found = dead_queries(mon, "fault", asked)
    assert not found, "\n".join(found)


def text(message: Any) -> str:
    body = message.get_body(preferencelist=("plain", "html"))
    return str(body.get_content())


def test_the_alert_resolves_after_the_start(web: Host, received: Received) -> None:
    web.check_output("systemctl start prometheus-node-exporter lookout-watchdog")

    def resolved() -> bool:
        return any(
            alert["labels"]["alertname"] == "HostDown" and alert["status"] == "resolved"
            for path, body in received.webhooks
            if path == "/on-call"
            for alert in body["alerts"]
        )

    wait_for(resolved, 180, "the webhook was not told that it is over")
    assert any("resolved" in str(message["Subject"]).lower() for message in received.mails)
