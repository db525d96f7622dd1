"""The health checks on a host: what breaks is told once, and nothing holds up the rest."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import events
import pytest
import yaml
from hosts import CURL, put, wait_for
from testinfra.host import Host
from units import assert_hardened, main_pid

UNIT = "lookout-health.service"
PROM = "/var/lib/prometheus/node-exporter/health.prom"
STATE = "/var/lib/lookout/health/state.json"
DECLARED = "/etc/lookout/health.d/test.yml"
# Some 18 are usual; the figure to keep is 40.
MOST_MEMORY_KB = 25_000

UNITS = {
    "shop.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "report.service": "[Service]\nType=oneshot\nExecStart=/usr/bin/test ! -e /run/report-fails\n",
    "report.timer": "[Timer]\nOnCalendar=hourly\n",
    "never.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "never.timer": "[Timer]\nOnCalendar=2020-01-01\n",
}
MASKED = ("masked.service", "masked.timer")


@dataclass(frozen=True)
class Run:
    """What a run left: its exit status, the verdicts (1 fails), the new messages, the seconds."""

    status: int
    failing: dict[str, bool]
    messages: list[dict[str, Any]]
    seconds: float

    @property
    def said(self) -> dict[str, str]:
        """The level of each message by what it is about."""
        levels = {m["tags"]["check"] + "/" + m["tags"]["name"]: m["level"] for m in self.messages}
        assert len(levels) == len(self.messages), "something was told twice"
        return levels


def messages(host: Host) -> list[dict[str, Any]]:
    return [one["event"] for one in events.arrived(host)]


def metrics(host: Host) -> dict[str, float]:
    shown = host.check_output(f"cat {PROM}")
    return {found[1]: float(found[2]) for found in re.finditer(r"^([^# ].*) (\S+)$", shown, re.M)}


def forget_starts(host: Host) -> None:
    """systemd refuses the sixth start within ten seconds, which a fast host comes to."""
    host.run(f"systemctl reset-failed {UNIT}")


def run(host: Host) -> Run:
    before, started = len(messages(host)), time.monotonic()
    forget_starts(host)
    host.check_output(f"systemctl start {UNIT}")
    seconds = time.monotonic() - started
    status = host.check_output(f"systemctl show --property=ExecMainStatus --value {UNIT}")
    verdicts = {
        f"{found[1]}/{found[2]}": value == 1
        for name, value in metrics(host).items()
        if (found := re.match(r'lookout_health_check_failing\{.*check="(.*)",name="(.*)"', name))
    }
    return Run(int(status), verdicts, messages(host)[before:], seconds)


def declare(host: Host, **checks: Any) -> None:
    """What is looked at beside what the roles of the host registered."""
    host.check_output("sh -c %s", f"cat > {DECLARED} <<'.'\n{yaml.safe_dump(checks)}.\n")


def in_background(host: Host, command: str, port: int) -> None:
    host.check_output("sh -c %s", f"{command} >/dev/null 2>&1 & echo $! >> /root/{port}.pid")
    assert wait_for(lambda: host.run(f"ss -Hltn 'sport = :{port}'").stdout)


def stop(host: Host, port: int) -> None:
    host.check_output("sh -c %s", f"kill $(cat /root/{port}.pid); rm /root/{port}.pid")
    assert wait_for(lambda: not host.run(f"ss -Hltn 'sport = :{port}'").stdout)


def journal(host: Host, since: float) -> str:
    return str(host.check_output(f"journalctl --no-pager -u {UNIT} --since=@{since:.0f}"))


def now(host: Host) -> float:
    # A line of the second before is none of this test.
    time.sleep(1)
    return float(host.check_output("date +%s"))


@pytest.fixture(autouse=True, scope="module")
def _surroundings(host: Host) -> Iterator[None]:
    """Endpoints, units and a Sentry; the timer waits, as the tests run the checks themselves."""
    host.check_output("systemctl stop lookout-health.timer")
    put(host, Path(__file__).parents[1] / "server.py")
    # In the system's store, so that nothing is wrong with it but its end.
    host.check_output(
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost"
        " -addext subjectAltName=DNS:localhost -days 1"
        " -keyout /root/expired.key -out /root/good.pem"
    )
    host.check_output("python3 -c %s", EXPIRE)
    host.check_output(
        "sh -c 'cp /root/expired.pem /usr/local/share/ca-certificates/expired.crt"
        " && update-ca-certificates'"
    )
    for name, text in UNITS.items():
        host.check_output("sh -c %s", f"cat > /etc/systemd/system/{name} <<'.'\n{text}.\n")
    for name in MASKED:
        host.check_output(f"ln -sf /dev/null /etc/systemd/system/{name}")
    host.check_output("systemctl daemon-reload")
    host.check_output("mkdir -p /srv/small")
    events.start(host)
    in_background(host, "python3 /root/server.py /root", 8480)
    yield
    events.stop(host)
    stop(host, 8480)
    host.check_output(
        f"rm -rf {DECLARED} /root/events /usr/local/share/ca-certificates/expired.crt"
    )
    host.check_output(f"systemctl stop {' '.join(UNITS)}")
    host.check_output(f"sh -c 'cd /etc/systemd/system && rm {' '.join([*UNITS, *MASKED])}'")
    host.check_output(
        "sh -c 'update-ca-certificates; systemctl daemon-reload; systemctl reset-failed'"
    )
    host.check_output("systemctl start lookout-health.timer")


EXPIRE = """
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
key = serialization.load_pem_private_key(open("/root/expired.key", "rb").read(), None)
good = x509.load_pem_x509_certificate(open("/root/good.pem", "rb").read())
day = datetime.timedelta(days=1)
made = x509.CertificateBuilder(good.issuer, good.subject, good.public_key(), 7,
    datetime.datetime.utcnow() - 3 * day, datetime.datetime.utcnow() - day, list(good.extensions))
open("/root/expired.pem", "wb").write(
    made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
"""


def test_what_roles_registered_is_looked_at_and_well(host: Host) -> None:
    host.check_output(f"rm -f {DECLARED}")
    done = run(host)
    assert (done.status, done.messages) == (0, [])
    assert {
        "disk//", "inodes//", "unit/prometheus-node-exporter.service",
        "certificate//etc/lookout/tls/host/fullchain.pem",
        "certificate//etc/lookout/tls/client/fullchain.pem",
        "registered//etc/lookout/health.d/node_exporter.yml",
    } <= set(done.failing)  # fmt: skip
    assert not any(done.failing.values())
    served = host.check_output(f"{CURL} https://127.0.0.1:9100/metrics")
    assert f"lookout_health_checks {len(done.failing)}" in served
    assert "node_textfile_scrape_error 0" in served


def test_it_is_run_every_five_minutes(host: Host) -> None:
    shown = host.check_output("systemctl show --property=TimersCalendar lookout-health.timer")
    assert "OnCalendar=*-*-* *:00/5:00" in shown
    host.check_output("systemctl start lookout-health.timer")
    # While a run is on there is no next one.
    listed = "systemctl list-timers --output=json lookout-health.timer"
    due = wait_for(lambda: json.loads(host.check_output(listed))[0]["next"])
    host.check_output("systemctl stop lookout-health.timer")
    assert 0 < due / 1e6 - now(host) <= 335


def break_and_mend() -> dict[str, tuple[str, str]]:
    """For each check that the test breaks: how, and how it is mended."""
    return {
        "disk//srv/small": ("fallocate -l 3900K /srv/small/full", "rm /srv/small/full"),
        "inodes//srv/small": (
            "sh -c 'cd /srv/small && touch $(seq 1 60)'",
            "sh -c 'rm /srv/small/[0-9]*'",
        ),
        "unit/shop.service": ("systemctl stop shop.service", "systemctl start shop.service"),
        "timer/report.timer": ("systemctl stop report.timer", "systemctl start report.timer"),
        "timer_service/report.service": (
            "sh -c 'touch /run/report-fails; ! systemctl start report.service'",
            "sh -c 'rm /run/report-fails; systemctl start report.service'",
        ),
    }  # fmt: skip


def test_every_fault_is_found_told_once_and_told_again_when_it_is_over(host: Host) -> None:
    host.check_output("mount -t tmpfs -o size=4m,nr_inodes=64 tmpfs /srv/small")
    host.check_output("systemctl start shop.service report.timer")
    declare(
        host,
        disks=[{"path": "/srv/small"}],
        units=["shop.service"],
        timers=[{"name": "report.timer", "max_age_hours": 2}],
        endpoints=[{"url": "http://127.0.0.1:8480/", "name": "shop", "contains": "all is well"}],
    )
    try:
        assert run(host).status == 0
        steps = break_and_mend()
        for fault, _ in steps.values():
            host.check_output(fault)
        stop(host, 8480)
        broken = {*steps, "endpoint/shop"}
        done = run(host)
        assert done.status == 3
        assert {key for key, failing in done.failing.items() if failing} == broken
        assert done.said == dict.fromkeys(broken, "error")
        about = {m["tags"]["name"]: m["logentry"]["formatted"] for m in done.messages}
        name = host.check_output("hostname")
        assert about["shop.service"] == (
            f"{name}: unit shop.service: it is not active: inactive (dead)"
        )
        assert host.run(f"systemctl is-failed {UNIT}").rc != 0, "the unit itself did what it should"
        again = run(host)
        assert (again.status, again.messages) == (3, [])
        for _, mended in steps.values():
            host.check_output(mended)
        in_background(host, "python3 /root/server.py /root", 8480)
        done = run(host)
        assert (done.status, done.said) == (0, dict.fromkeys(broken, "info"))
        assert run(host).messages == []
    finally:
        host.check_output("umount /srv/small")


def test_what_never_was_as_it_should_be_says_why_and_holds_up_nobody(host: Host) -> None:
    # A timer whose time is over elapses at once.
    host.check_output("systemctl start never.timer")
    since = now(host)
    address = "http://127.0.0.1:8480"
    declare(
        host,
        units=["masked.service", "gone.service"],
        timers=[{"name": "never.timer"}, {"name": "masked.timer"}, {"name": "gone.timer"}],
        endpoints=[
            {"url": f"{address}/500", "name": "500"},
            {"url": f"{address}/hang", "name": "hang", "limit_seconds": 2},
            {"url": f"{address}/slow", "name": "slow", "limit_seconds": 2},
            {"url": f"{address}/", "name": "text", "contains": "sold out"},
            {"url": "https://localhost:8481/", "name": "expired", "trust": "system"},
            {"url": "https://localhost:8481/", "name": "other-ca"},
            {"url": "https://localhost:9100/metrics", "name": "client", "contains": "node_load1"},
        ],
        certificates=[{"address": "localhost:8481"}, {"path": "/etc/lookout/tls/ca.pem"}],
        disks=[{"path": "/srv/gone"}],
    )
    done = run(host)
    log = journal(host, since)
    wrong = {
        "unit/masked.service": "it is masked",
        "unit/gone.service": "there is no such unit",
        "timer/never.timer": "it ",
        "timer/masked.timer": "it is masked",
        "timer/gone.timer": "there is no such unit",
        "endpoint/500": "it answered 500, not 200",
        "endpoint/hang": "it did not answer within 2 s",
        "endpoint/slow": "no verdict within 2.5 s",
        "endpoint/text": "its answer lacks 'sold out'",
        "endpoint/expired": "certificate has expired",
        "endpoint/other-ca": "its certificate is not accepted",
        "certificate/localhost:8481": "it ended on ",
        "disk//srv/gone": "No such file or directory",
        "inodes//srv/gone": "No such file or directory",
    }
    assert {key for key, failing in done.failing.items() if failing} == set(wrong)
    assert set(done.said) == set(wrong)
    for key, why in wrong.items():
        check, _, name = key.partition("/")
        assert re.search(rf"{check} {re.escape(name)}: .*{re.escape(why)}", log), key
    took = metrics(host)["lookout_health_last_run_duration_seconds"]
    assert took < 3 + 2 * len(wrong), "messages and all"
    host.check_output(f"rm {DECLARED}")
    assert run(host).messages == [], "what is looked at no longer is forgotten"


def test_a_mistake_in_one_file_is_told_and_the_others_are_read(host: Host) -> None:
    declare(host, units=["shop"], disk=[])
    done = run(host)
    assert [key for key, failing in done.failing.items() if failing] == [f"registered/{DECLARED}"]
    assert done.failing["unit/prometheus-node-exporter.service"] is False
    (message,) = done.messages
    said = message["logentry"]["formatted"]
    assert "test.yml: disk is not known here: did you mean disks?" in said
    assert "run site.yml for this host, or delete the file" in said
    host.check_output(f"rm {DECLARED}")
    run(host)


def troubles(host: Host, what: str) -> float:
    return metrics(host)[f'lookout_health_troubles_total{{what="{what}"}}']


def test_a_message_that_does_not_arrive_is_sent_by_the_next_run(host: Host) -> None:
    host.check_output("systemctl start shop.service")
    declare(host, units=["shop.service"])
    assert run(host).status == 0
    since, before = now(host), troubles(host, "messages")
    events.stop(host)
    host.check_output("systemctl stop shop.service")
    for _ in range(2):
        assert run(host).status == 3
    assert journal(host, since).count("is sent again by the next run") == 1
    assert troubles(host, "messages") == before + 2
    events.start(host)
    assert run(host).said == {"unit/shop.service": "error"}
    assert run(host).messages == []


def test_a_full_disk_does_not_have_things_told_twice(host: Host) -> None:
    host.check_output("systemctl start shop.service")
    declare(host, units=["shop.service"])
    run(host)
    since, before = now(host), troubles(host, "state")
    host.check_output("mount -t tmpfs -o size=16k tmpfs /var/lib/lookout/health")
    try:
        host.run("dd if=/dev/zero of=/var/lib/lookout/health/full bs=1k")
        host.check_output("systemctl stop shop.service")
        assert [len(run(host).messages) for _ in range(3)] == [1, 0, 0]
        assert journal(host, since).count("No space left on device; the checks go on") == 1
    finally:
        host.check_output("umount /var/lib/lookout/health")
    host.check_output("systemctl start shop.service")
    done = run(host)
    assert (done.status, done.said) == (0, {"unit/shop.service": "info"})
    assert troubles(host, "state") == before + 3


def test_metrics_that_cannot_be_written_become_old_and_the_rest_goes_on(host: Host) -> None:
    declare(host, units=["shop.service"])
    host.check_output("systemctl start shop.service")
    run(host)
    since, before = now(host), troubles(host, "metrics")
    old = metrics(host)["lookout_health_last_run_timestamp_seconds"]
    host.check_output("chmod g-w /var/lib/prometheus/node-exporter")
    try:
        host.check_output("systemctl stop shop.service")
        done = run(host)
        assert (done.status, done.said) == (3, {"unit/shop.service": "error"})
        assert run(host).status == 3
        assert metrics(host)["lookout_health_last_run_timestamp_seconds"] == old
        assert journal(host, since).count("Permission denied; the checks go on") == 1
    finally:
        host.check_output("chmod g+w /var/lib/prometheus/node-exporter")
    run(host)
    assert troubles(host, "metrics") == before + 2
    assert host.run("ls -A /var/lib/prometheus/node-exporter | grep '^\\.'").rc != 0, "leftovers"


def test_a_torn_state_is_said_once_and_what_fails_is_told_anew(host: Host) -> None:
    since = now(host)
    host.check_output(f"sh -c 'rm -f /run/lookout/health/state.json; truncate -s 100 {STATE}'")
    done = run(host)
    assert (done.status, done.said) == (3, {"unit/shop.service": "error"})
    assert run(host).messages == []
    assert journal(host, since).count("what was before is unknown") == 1


def test_it_is_small_while_it_works_and_may_do_no_more_than_it_needs(host: Host) -> None:
    declare(
        host,
        endpoints=[
            {"url": "https://localhost:9100/metrics", "name": "node_exporter"},
            {"url": "http://127.0.0.1:8480/hang", "name": "hang", "limit_seconds": 60},
        ],
    )
    forget_starts(host)
    host.check_output(f"systemctl start --no-block {UNIT}")
    try:
        assert wait_for(lambda: main_pid(host, UNIT))
        sizes = []
        for _ in range(5):
            time.sleep(0.3)
            shown = host.check_output(f"grep ^Pss: /proc/{main_pid(host, UNIT)}/smaps_rollup")
            sizes.append(int(shown.split()[1]))
        print(f"{max(sizes)} kB PSS")
        assert max(sizes) < MOST_MEMORY_KB
        assert_hardened(host, UNIT, 2.0, "lookout-health")
    finally:
        host.check_output(f"systemctl stop {UNIT}")
