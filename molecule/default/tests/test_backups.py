"""The site saves itself, its store looks after it, and a drill finds the backup good."""

from __future__ import annotations

import json

from hosts import wait_for
from play import playbook
from testinfra.host import Host

REPORTS = "/var/lib/lookout/restore_drill/reports"
# What there is on the host that is the monitoring, its own store, and drills itself
PARTS = ("alertmanager", "configuration", "grafana", "prometheus", "status_page")


def test_every_host_is_saved(mon: Host) -> None:
    # The first one began as the role ran, and may still be at it.
    wait_for(
        lambda: mon.run("systemctl is-active lookout-backup").stdout.strip() != "activating", 120
    )
    done = playbook("playbooks/backup.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    for part in PARTS:
        assert f"part {part}: saved" in done.stdout


def test_the_store_finds_the_repositories_whole(mon: Host) -> None:
    mon.check_output("systemctl start lookout-backup_store.service")
    metrics = mon.check_output("cat /var/lib/prometheus/node-exporter/backup_store.prom")
    for host in ("mon", "web"):
        assert f'lookout_backup_store_last_check_success{{host="{host}"}} 1.0' in metrics


def test_the_drill_passes(mon: Host) -> None:
    done = playbook("playbooks/restore_drill.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    report = json.loads(mon.file(f"{REPORTS}/latest.json").content_string)
    drilled = {host["host"]: host for host in report["hosts"]}
    assert {host: one["result"] for host, one in drilled.items()} == {
        "mon": "passed",
        "web": "passed",
    }
    assert {part["part"]: part["result"] for part in drilled["mon"]["parts"]} == dict.fromkeys(
        PARTS, "passed"
    )
    # Of the other host there is what configures its exporters and agents.
    assert [part["part"] for part in drilled["web"]["parts"]] == ["configuration"]
    assert report["result"] == "passed"
