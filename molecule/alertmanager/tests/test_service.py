"""The service itself: what it may do, what it survives, and what a run does to it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hosts import CURL, wait_for
from parts import Registered
from play import changed_tasks, converge
from receivers import API, Receivers
from testinfra.host import Host

UNIT = "prometheus-alertmanager.service"
CONFIG = "/etc/prometheus/alertmanager"
MOST_EXPOSURE = 2.5
RELOADED = "alertmanager_config_last_reload_success_timestamp_seconds"


def inventory_name(host: Host) -> str:
    return host.check_output("hostname")


def main_pid(host: Host) -> str:
    return host.check_output(f"systemctl show --property MainPID --value {UNIT}")


def wait_until_ready(host: Host, seconds: float) -> bool:
    return bool(wait_for(lambda: host.run(f"{CURL} {API}/-/ready").rc == 0, seconds))


def reloaded_at(host: Host) -> float:
    shown = host.check_output(f"{CURL} {API}/metrics")
    found = re.search(rf"^{RELOADED} (\S+)$", shown, re.MULTILINE)
    assert found
    return float(found[1])


def silence(host: Host, name: str) -> str:
    return host.check_output(
        f"amtool silence add alertname={name} --duration 2h --author test --comment 'survives'"
    )


def silences(host: Host) -> set[str]:
    shown = host.check_output("amtool silence query --quiet")
    return set(shown.split())


def test_a_silence_survives_a_restart_and_a_kill(receivers: Receivers, name: str) -> None:
    host = receivers.host
    mine = silence(host, name)
    host.check_output(f"systemctl restart {UNIT}")
    assert wait_until_ready(host, 5)
    assert mine in silences(host)
    later = silence(host, f"{name}Later")
    # Written to disk every 2 s in this scenario, at the latest
    time.sleep(3)
    former = main_pid(host)
    host.check_output(f"kill -9 {former}")
    assert wait_for(lambda: main_pid(host) not in ("0", former), 5)
    assert wait_until_ready(host, 5), "it has to be back within 5 s"
    assert {mine, later} <= silences(host)
    receivers.send(name, instance="quiet1", severity="critical", team="on-call")
    time.sleep(5)
    assert not receivers.told_about(name)


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in host.check_output(f"cat /proc/{main_pid(host)}/status").splitlines()
        if ":\t" in line
    )
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0
    assert status["Uid"].split()[0] == str(host.user("prometheus").uid)
    shown = host.check_output(f"systemd-analyze security --no-pager {UNIT}")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSURE
    # It reads its configuration and cannot change it, and writes nothing outside of its own folder.
    inside = f"nsenter --target {main_pid(host)} --mount --"
    assert host.run(f"{inside} touch /etc/prometheus/x").rc != 0
    assert host.run(f"{inside} touch /var/lib/prometheus/x").rc != 0
    assert host.run(f"{inside} touch /var/lib/prometheus/alertmanager/x").rc == 0


def test_it_listens_on_loopback_alone(host: Host) -> None:
    ports = "sport = :9093 or sport = :9094"
    listening = host.check_output(f"ss -Hltun '{ports}'").splitlines()
    assert [line.split()[4] for line in listening] == ["127.0.0.1:9093"]


def test_it_is_registered(host: Host) -> None:
    name = inventory_name(host)
    target = host.check_output(f"cat /etc/prometheus/targets/alertmanager/{name}.yml")
    assert "127.0.0.1:9093" in target
    assert f"instance: {name}" in target


def test_the_backup_holds_silences_and_a_configuration_that_works(host: Host) -> None:
    part = Registered(host, "alertmanager")
    facts = part.assert_a_copy_is_good()
    assert facts["files"]["entries"]["/var/lib/prometheus/alertmanager/silences"]["bytes"] > 0
    part.assert_damage_is_found("rm files/var/lib/prometheus/alertmanager/silences", "missing")
    trees = f"files{CONFIG}.trees"
    part.assert_damage_is_found(f"sed -i s/receiver:/reciever:/ {trees}/*/alertmanager.yml", "is")
    assert part.check().rc != 0, "its own program finds out, too"
    part.assert_damage_is_found(f"rm -rf {trees}", "missing")
    assert part.check().rc != 0
    part.forget()


def test_an_edit_by_hand_is_taken_back(host: Host) -> None:
    before = host.check_output(f"cat {CONFIG}/alertmanager.yml")
    edit = "s/repeat_interval: 24h/repeat_interval: 99h/"
    host.check_output(f"sed -i '{edit}' {CONFIG}/alertmanager.yml")
    host.check_output(f"systemctl reload {UNIT}")
    done = converge(inventory_name(host))
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == [
        "alertmanager : Ensure routes, receivers and mail templates are checked and in place",
        "alertmanager : Ensure Alertmanager runs what is on disk",
    ]
    assert host.check_output(f"cat {CONFIG}/alertmanager.yml") == before
    running = json.loads(host.check_output(f"{CURL} {API}/api/v2/status"))
    assert "99h" not in running["config"]["original"]
    assert "canary" not in done.stdout


def test_a_run_that_died_before_the_reload_is_made_good(host: Host) -> None:
    pid, before = main_pid(host), reloaded_at(host)
    host.check_output(f"ln -sfn alertmanager.trees/none {CONFIG}.loaded")
    done = converge(inventory_name(host))
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == ["alertmanager : Ensure Alertmanager runs what is on disk"]
    assert reloaded_at(host) > before
    assert main_pid(host) == pid, "a reload is no restart"
    assert changed_tasks(converge(inventory_name(host))) == []


@pytest.mark.parametrize(
    "mistake",
    [
        {
            "alertmanager_extra_receivers": [
                {"name": "pager", "pagerduty_configs": [{"colour": "red"}]}
            ]
        },
        {"alertmanager_extra_routes": [{"receiver": "nowhere"}]},
        {
            # Parses, and breaks only when a mail is due
            "alertmanager_extra_templates": {
                "own.tmpl": '{{ define "lookout.text" }}{{ .Nothing.Here }}{{ end }}'
            }
        },
    ],
    ids=["receiver", "route", "template"],
)
def test_what_alertmanager_refuses_never_goes_live(host: Host, mistake: dict[str, Any]) -> None:
    live = host.check_output(f"readlink -f {CONFIG}")
    trees = host.check_output(f"ls {CONFIG}.trees")
    done = converge(inventory_name(host), **mistake)
    assert done.returncode != 0
    assert "canary" not in done.stdout + done.stderr
    assert host.check_output(f"readlink -f {CONFIG}") == live
    assert host.check_output(f"ls {CONFIG}.trees") == trees
    assert "alertmanager_config_last_reload_successful 1" in host.check_output(
        f"{CURL} {API}/metrics"
    )


def test_mistakes_are_all_named_before_anything_changes() -> None:
    done = converge(
        "all",
        alertmanager_teams={
            "oncall": {"email_to": ["a@example.com"]},
            "infrastructure": {"webhook_urls": ["chat.example.com/secret-token"]},
            "data-science": {"email_to": "a@example.com", "sms": ["1"]},
        },
        alertmanager_extra_receivers=[{"name": "nobody"}],
        alertmanager_group_wait="30 seconds",
        alertmanager_smtp_smarthost="",
    )
    assert done.returncode != 0
    assert changed_tasks(done) == []
    for words in (
        "unknown team oncall: did you mean on-call?",
        "number 1 of webhook_urls must begin with http:// or https://",
        "email_to must be a list, as in email_to: [...]",
        "there is no sms",
        "nobody is the role's own, take another name",
        "alertmanager_group_wait must be a number and one of y, w, d, h, m, s, such as 4h",
        "alertmanager_smtp_smarthost is empty",
    ):
        assert words in re.sub(r"\s+", " ", done.stdout), words
    assert "secret-token" not in done.stdout


def test_a_team_that_nobody_is_behind_is_said_loudly() -> None:
    done = converge(
        "all",
        check_mode=True,
        alertmanager_teams={"on-call": {"webhook_urls": ["http://127.0.0.1:9876/x"]}},
    )
    assert done.returncode == 0, done.stdout
    said = re.sub(r"\s+", " ", done.stdout)
    assert "the alerts of infrastructure, data-science reach nobody" in said
