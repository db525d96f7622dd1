"""An agent as the role deploys it: what it may do, what it says, and what it takes to stop it."""

from __future__ import annotations

import re
import time

import events
import pytest
from hosts import CURL, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

UNIT = "lookout-trial.service"
URL = "https://127.0.0.1:9790/metrics"
CONFIG = "/etc/lookout/trial/trial.yml"
LOG = "/var/log/monitoring/trial.log"
# Some 18 are usual.
MOST_MEMORY_KB = 25_000


def metric(host: Host, name: str) -> float:
    # It does not listen for a moment when it begins anew.
    shown = wait_for(lambda: host.run(f"{CURL} {URL}").stdout, 10)
    found = re.search(rf"^{re.escape(name)} (\S+)$", shown, re.M)
    assert found, f"{name} is not in {shown[-2000:]}"
    return float(found[1])


def order(host: Host, what: str) -> None:
    """As anybody may whom the trial's user lets: it takes the order and forgets it."""
    write = "install -o lookout-trial -m 600 /dev/stdin /run/lookout-trial/order"
    host.check_output(f"echo %s | {write}", what)


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def test_it_runs_from_a_venv_of_its_own_without_what_it_does_not_need(host: Host) -> None:
    command = host.check_output(f"tr '\\0' ' ' < /proc/{main_pid(host, UNIT)}/cmdline")
    assert command.startswith("/opt/lookout/trial/")
    assert command.endswith(f"bin/python -m lookout_trial --config {CONFIG} ")
    assert host.run("test -x /opt/lookout/trial/current/bin/python").rc == 0
    assert host.run("command -v pip3").rc != 0, "a host needs no pip"


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    assert_hardened(host, UNIT, 2.0, "lookout-trial")
    shown = host.check_output(f"grep ^Pss: /proc/{main_pid(host, UNIT)}/smaps_rollup")
    assert int(shown.split()[1]) < MOST_MEMORY_KB
    limits = host.check_output(
        f"systemctl show --property=MemoryMax,CPUQuotaPerSecUSec,WatchdogUSec {UNIT}"
    )
    assert set(limits.split()) == {
        "MemoryMax=100663296", "CPUQuotaPerSecUSec=250ms", "WatchdogUSec=5s"
    }  # fmt: skip


def test_its_metrics_are_for_clients_of_the_site_alone(host: Host) -> None:
    assert metric(host, "trial_rounds_total") > 0
    assert host.run(f"curl -fsS --cacert /etc/lookout/tls/ca.pem {URL}").rc != 0
    # Another host's certificate is the CA's too, and not good for this.
    others = "--cert /etc/lookout/tls/host/fullchain.pem --key /etc/lookout/tls/host/privkey.pem"
    assert host.run(f"curl -fsS --cacert /etc/lookout/tls/ca.pem {others} {URL}").rc != 0
    assert host.run(f"curl -fsS http://{URL.removeprefix('https://')}").rc != 0
    assert metric(host, "trial_rounds_total") > 0


def test_slow_clients_hold_up_nobody(host: Host) -> None:
    """Five that take a connection and say nothing: others are answered at once."""
    hold = "import socket,time; s=[socket.create_connection(('127.0.0.1',9790)) for _ in range(5)]"
    host.check_output("sh -c %s", f'python3 -c "{hold}; time.sleep(6)" >/dev/null 2>&1 &')
    started = time.monotonic()
    assert metric(host, "trial_rounds_total") > 0
    assert time.monotonic() - started < 5


def test_a_renewed_certificate_is_taken_without_a_restart(host: Host) -> None:
    pid = main_pid(host, UNIT)
    key = "/etc/lookout/tls/host/privkey.pem"
    host.check_output(f"touch {key}")
    assert metric(host, "trial_rounds_total") > 0
    # A key that does not fit, as in the midst of a renewal: the former one serves.
    host.check_output(f"cp -a {key} {key}.kept && openssl genrsa -out {key} 2048")
    try:
        assert metric(host, "trial_rounds_total") > 0
    finally:
        host.check_output(f"mv {key}.kept {key}")
    assert main_pid(host, UNIT) == pid


def test_no_secret_is_in_arguments_environment_or_journal(host: Host) -> None:
    for secret in ("canary-of-the-trial", "0123456789abcdef0123456789abcdef"):
        pid = main_pid(host, UNIT)
        # A pattern that does not find itself
        pattern = f"[{secret[0]}]{secret[1:]}"
        found = host.run(f"grep -al '{pattern}' /proc/[0-9]*/cmdline /proc/{pid}/environ")
        assert found.stdout == ""
        assert secret not in host.check_output("journalctl --no-pager --output=cat")
        assert (
            host.run(f"runuser -u nobody -- grep -r {secret} /etc/lookout /opt/lookout").stdout
            == ""
        )
        assert secret not in host.check_output(f"systemctl cat {UNIT}")
    assert host.run(f"grep -l canary /proc/{main_pid(host, UNIT)}/root/run/credentials/*/password")


def test_it_logs_to_the_journal_with_priorities_and_to_its_file(host: Host) -> None:
    order(host, "raise")
    assert wait_for(lambda: metric(host, "agent_step_failures_total") > 0)
    assert wait_for(
        lambda: "as it was told" in host.check_output(f"journalctl --no-pager -u {UNIT} -p err")
    )
    assert re.search(r"Z ERROR lookout\.kit: a round failed", host.file(LOG).content_string)
    assert host.file(LOG).group == "lookout"
    assert host.check_output(f"systemctl is-active {UNIT}") == "active", (
        "one round is no reason to die"
    )


def test_a_log_file_that_takes_nothing_is_said_once_and_counted(host: Host) -> None:
    before = metric(host, "agent_log_write_failures_total")
    since = host.check_output("date +%s")
    host.check_output(f"rm -f {LOG} && ln -s /dev/full {LOG}")
    try:
        for count in (1, 2):
            order(host, "raise")
            assert wait_for(
                lambda count=count: metric(host, "agent_log_write_failures_total") >= before + count
            )
        said = host.check_output(f"journalctl --no-pager -u {UNIT} --since=@{since}")
        assert said.count("takes no lines") == 1
    finally:
        host.check_output(f"rm -f {LOG}")
    order(host, "raise")
    assert wait_for(lambda: "as it was told" in host.run(f"cat {LOG}").stdout), "it writes again"


def test_it_reports_and_goes_on_where_nobody_listens(host: Host) -> None:
    lost = 'agent_reports_lost_total{reason="unreachable"}'
    before, pid = metric(host, lost), main_pid(host, UNIT)
    for count in (1, 2):
        order(host, "report")
        assert wait_for(lambda count=count: metric(host, lost) >= before + count)
    said = host.check_output(f"journalctl --no-pager _PID={pid}")
    assert said.count("reports do not arrive") == 1

    with events.listening(host):
        order(host, "report")
        assert wait_for(lambda: metric(host, "agent_reports_sent_total") > 0)
        order(host, "raise")
        assert wait_for(lambda: len(events.arrived(host)) > 1)
    message, failure = events.arrived(host)
    assert message["project"] == "7"
    event = message["event"]
    assert (event["level"], event["fingerprint"]) == ("info", ["trial"])
    assert event["server_name"] == host.check_output("hostname")
    (value,) = failure["event"]["exception"]["values"]
    assert (value["type"], value["value"]) == ("RuntimeError", "as it was told")
    assert value["stacktrace"]["frames"][-1]["function"] == "step"
    assert "reports arrive again" in host.check_output(f"journalctl --no-pager _PID={pid}")


def test_one_that_hangs_is_restarted_within_its_watchdog_time(host: Host) -> None:
    former = main_pid(host, UNIT)
    order(host, "hang")
    started = time.monotonic()
    assert wait_for(lambda: main_pid(host, UNIT) not in (0, former), 30)
    # Its 5 s, the 5 s until systemd starts it again, and what a busy machine takes
    assert time.monotonic() - started < 20
    assert "Watchdog timeout" in host.check_output(f"journalctl --no-pager -u {UNIT}")


def test_its_configuration_is_saved_and_proven(host: Host) -> None:
    part = Registered(host, "configuration-trial")
    part.assert_a_copy_is_good()
    part.assert_damage_is_found("echo 'x: 1' >> files/etc/lookout/trial/trial.yml", "bytes is")
    assert part.check().rc != 0, "its own program finds out, too"
    part.forget()


def test_it_is_back_after_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, URL, 12)


def test_a_wrong_configuration_is_refused_and_the_former_one_goes_on(host: Host) -> None:
    """By hand, past the role."""
    pid = main_pid(host, UNIT)
    host.check_output(f"cp {CONFIG} /root/kept && sed -i '1i intervall_seconds: 1' {CONFIG}")
    try:
        host.check_output(f"systemctl reload {UNIT}")
        assert wait_for(lambda: metric(host, "agent_config_refused_total") == 1)
        said = host.check_output(f"journalctl --no-pager -u {UNIT}")
        assert (
            "trial.yml: intervall_seconds is not known here: did you mean interval_seconds?" in said
        )
    finally:
        host.check_output(f"cp /root/kept {CONFIG}")
    host.check_output(f"systemctl reload {UNIT}")
    assert wait_for(lambda: metric(host, "agent_config_refused_total") == 0), "it began anew"
    assert main_pid(host, UNIT) == pid


def test_timers_run_what_they_should(host: Host) -> None:
    assert wait_for(lambda: host.run("cat /run/lookout-trial/runs").stdout.startswith("xx"))
    result = "systemctl show --property=Result --value lookout-trial-task@first.service"
    # One that fell into the test before may have met the wrong configuration.
    assert wait_for(lambda: host.check_output(result) == "success", 10), "beside the resident one"
    assert host.check_output("systemctl is-active lookout-trial-second.timer") == "active"


def test_what_a_run_refuses_leaves_the_agent_as_it_was(host: Host, name: str) -> None:
    pid = main_pid(host, UNIT)
    before = host.check_output(f"cat {CONFIG}")
    done = converge(name, trial_config={"interval_seconds": 0, "colour": "red"})
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "interval_seconds must be more than 0, got 0.0" in said
    assert "colour is not known here" in said
    assert host.check_output(f"cat {CONFIG}") == before
    assert main_pid(host, UNIT) == pid


def test_changes_are_taken_up_and_what_is_wanted_no_more_goes(host: Host, name: str) -> None:
    pid = main_pid(host, UNIT)
    timers = [{"name": "second", "arguments": ["once"], "on_calendar": "2031-01-01"}]
    done = converge(
        name, trial_config={"interval_seconds": 1}, trial_password="another", trial_timers=timers
    )
    assert done.returncode == 0, done.stdout
    assert "another" not in done.stdout
    assert main_pid(host, UNIT) != pid
    assert host.run("systemctl cat lookout-trial-task@first.timer").rc != 0
    assert "2031" in host.check_output(
        "systemctl show --property=TimersCalendar lookout-trial-second.timer"
    )
    again = converge(
        name, trial_config={"interval_seconds": 1}, trial_password="another", trial_timers=timers
    )
    assert changed_tasks(again) == []
