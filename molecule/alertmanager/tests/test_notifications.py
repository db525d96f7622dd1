"""Alerts go in where Prometheus sends them; what counts is what comes out at the receivers."""

from __future__ import annotations

import time

from hosts import wait_for
from receivers import PASSWORD, Receivers, alert

# A group waits 1 s and a mail or webhook takes less: what has not come after this does not come.
QUIET_SECONDS = 4


def test_a_critical_alert_reaches_its_team_and_on_call(receivers: Receivers, name: str) -> None:
    said = receivers.send(name, instance="web1", severity="critical", team="infrastructure")
    assert wait_for(lambda: receivers.told_about(name) == {"infrastructure", "on-call"})
    alert = receivers.alerts("on-call", name)[0]
    assert alert["labels"]["instance"] == "web1"
    assert alert["annotations"]["summary"] == said["summary"]
    assert alert["annotations"]["runbook"] == said["runbook"]


def test_mail_has_host_summary_since_and_runbook(receivers: Receivers, name: str) -> None:
    said = receivers.send(name, instance="web2", severity="critical", team="infrastructure")
    mails = wait_for(lambda: len(found := receivers.mails(name)) == 2 and found)
    assert mails, receivers.host.check_output(
        "journalctl --no-pager -n 20 -u prometheus-alertmanager -u test-mails"
    )
    assert {to for mail in mails for to in mail["to"]} == {
        "admin@example.com",
        "night-shift@example.com",
    }
    mail = mails[0]
    assert mail["tls"]
    assert mail["from"] == "lookout@example.com"
    assert mail["hello"] == receivers.host.check_output("hostname")
    assert mail["subject"] == f"[CRITICAL] {name} web2"
    runbook = f"https://git.example.com/lookout/{said['runbook']}"
    for part in (mail["text"], mail["html"]):
        for wanted in ("web2", said["summary"], said["description"], runbook, "UTC"):
            assert wanted in part
        assert "https://monitoring.example.com/alertmanager/" in part
    assert f'href="{runbook}"' in mail["html"]


def test_the_end_is_told_with_how_long_it_took(receivers: Receivers, name: str) -> None:
    labels = {"instance": "web3", "severity": "warning", "team": "infrastructure"}
    receivers.post("/api/v2/alerts", [alert(name, began_seconds_ago=90, **labels)])
    assert wait_for(lambda: receivers.mails(name))
    ended = alert(name, began_seconds_ago=95, ends_in_seconds=0, **labels)
    receivers.post("/api/v2/alerts", [ended])
    mails = wait_for(lambda: [m for m in receivers.mails(name) if "RESOLVED" in m["subject"]])
    assert mails
    assert mails[0]["subject"] == f"[RESOLVED] {name} web3"
    assert ", 1m3" in mails[0]["text"], mails[0]["text"]


def test_markup_in_an_alert_stays_text(receivers: Receivers, name: str) -> None:
    receivers.send(name, instance="<b>web4</b>", severity="warning", team="infrastructure")
    mail = wait_for(lambda: receivers.mails(name))[0]
    assert "<b>web4</b>" not in mail["html"]
    assert "&lt;b&gt;web4&lt;/b&gt;" in mail["html"]


def test_a_warning_reaches_its_team_alone(receivers: Receivers, name: str) -> None:
    receivers.send(name, instance="ml1", severity="warning", team="data-science")
    assert wait_for(lambda: receivers.told_about(name))
    time.sleep(QUIET_SECONDS)
    assert receivers.told_about(name) == {"data-science"}
    assert not receivers.mails(name)


def test_an_alert_of_no_team_reaches_infrastructure(receivers: Receivers, name: str) -> None:
    receivers.send(name, instance="db1", severity="critical")
    assert wait_for(lambda: receivers.told_about(name) == {"infrastructure", "on-call"})


def test_an_on_call_alert_is_told_once(receivers: Receivers, name: str) -> None:
    receivers.send(name, instance="db2", severity="critical", team="on-call")
    assert wait_for(lambda: receivers.told_about(name))
    time.sleep(QUIET_SECONDS)
    assert receivers.told_about(name) == {"on-call"}
    assert len(receivers.alerts("on-call", name)) == 1


def test_what_has_no_severity_to_act_on_is_told_to_nobody(receivers: Receivers, name: str) -> None:
    receivers.send(name, instance="db3", severity="none", team="infrastructure")
    time.sleep(QUIET_SECONDS)
    assert receivers.active(name)
    assert not receivers.told_about(name)


def test_the_watchdog_reaches_the_dead_mans_switch_alone(receivers: Receivers) -> None:
    before = len(receivers.alerts("deadmans-switch", "Watchdog"))
    receivers.send("Watchdog", severity="none", team="on-call")
    # every 2 s in this scenario
    assert wait_for(lambda: len(receivers.alerts("deadmans-switch", "Watchdog")) >= before + 3)
    assert receivers.told_about("Watchdog") == {"deadmans-switch"}
    assert not receivers.mails("Watchdog")
    assert all(
        alert["labels"]["alertname"] == "Watchdog"
        for body in receivers.hooks("deadmans-switch")
        for alert in body["alerts"]
    )


def test_alerts_of_one_symptom_and_host_are_one_notification(
    receivers: Receivers, name: str
) -> None:
    labels = {"severity": "warning", "team": "data-science"}
    fired = [
        alert(name, instance="web5", mountpoint="/", **labels),
        alert(name, instance="web5", mountpoint="/var", **labels),
        alert(name, instance="web6", **labels),
    ]
    receivers.post("/api/v2/alerts", fired)
    assert wait_for(lambda: len(receivers.alerts("data-science", name)) == 3)
    groups = [
        {(a["labels"]["instance"], a["labels"].get("mountpoint")) for a in body["alerts"]}
        for body in receivers.hooks("data-science")
        if body["groupLabels"].get("alertname") == name
    ]
    assert sorted(groups, key=len) == [{("web6", None)}, {("web5", "/"), ("web5", "/var")}]


def test_a_host_that_is_down_is_one_alert(receivers: Receivers, name: str) -> None:
    host_down = {"instance": "dead1", "severity": "critical", "team": "on-call"}
    receivers.send("HostDown", **host_down)
    receivers.send(name, instance="dead1", severity="critical", team="infrastructure")
    receivers.send(name, instance="alive1", severity="critical", team="infrastructure")
    assert wait_for(lambda: receivers.alerts("infrastructure", name))
    time.sleep(QUIET_SECONDS)
    told = {alert["labels"]["instance"] for alert in receivers.alerts("infrastructure", name)}
    assert told == {"alive1"}
    assert receivers.alerts("on-call", "HostDown")
    state = {a["labels"]["instance"]: a["status"]["state"] for a in receivers.active(name)}
    assert state == {"dead1": "suppressed", "alive1": "active"}
    receivers.post("/api/v2/alerts", [alert("HostDown", ends_in_seconds=0, **host_down)])
    assert wait_for(lambda: len(receivers.alerts("infrastructure", name)) >= 2), (
        "it is told once the host is back"
    )


def test_critical_hides_the_warning_of_the_same_thing(receivers: Receivers, name: str) -> None:
    for severity, disk in (("critical", "/"), ("warning", "/"), ("warning", "/var")):
        receivers.send(
            name, instance="full1", mountpoint=disk, severity=severity, team="data-science"
        )
    assert wait_for(lambda: len(receivers.alerts("data-science", name)) >= 2)
    time.sleep(QUIET_SECONDS)
    told = {
        (alert["labels"]["severity"], alert["labels"]["mountpoint"])
        for alert in receivers.alerts("data-science", name)
    }
    assert told == {("critical", "/"), ("warning", "/var")}


def test_the_password_is_seen_by_nobody(receivers: Receivers) -> None:
    host = receivers.host
    unit = "prometheus-alertmanager"
    pid = host.check_output(f"systemctl show --property MainPID --value {unit}")
    assert PASSWORD not in host.check_output(f"tr '\\0' ' ' < /proc/{pid}/cmdline")
    assert PASSWORD not in host.check_output(f"cat /etc/default/{unit}; systemctl cat {unit}")
    assert PASSWORD not in host.check_output(f"journalctl --no-pager -u {unit}")
    assert PASSWORD not in str(receivers.get("/api/v2/status"))
    found = host.check_output(f"grep -rl {PASSWORD} /etc /var/lib/prometheus || true").split()
    assert found
    for file in found:
        assert host.file(file).mode == 0o640, file
        assert (host.file(file).user, host.file(file).group) == ("root", "prometheus")
    assert host.run(f"su nobody -s /bin/sh -c 'cat {found[0]}'").rc != 0
