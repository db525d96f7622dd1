"""Real data in every part, on both releases: saved, destroyed, restored, and the same again."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hosts import CURL, connect, host_names, wait_for
from nights import (
    PARTS,
    STAGE,
    UNIT,
    ask,
    begin,
    end,
    failed,
    journal,
    metrics,
    repository_is_whole,
)
from testinfra.host import Host
from units import main_pid

SILENCE = {
    "matchers": [{"name": "instance", "value": "round-trip", "isRegex": False}],
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "2099-01-01T00:00:00Z",
    "createdBy": "scenario",
    "comment": "comes back",
}
# A run of a task of the status page that the page itself does not make
RUN = (
    "import sqlite3, time; c = sqlite3.connect('/var/lib/lookout/status/status.db', 30);"
    " c.execute('insert into runs values (?, ?, ?, ?, ?)',"
    " ('round-trip', time.time(), 0.25, 1, 'comes back')); c.commit()"
)
# Configuration of an agent and of PostgreSQL, and what roles registered. The restore has its own.
CONFIGURED = (
    *("/etc/lookout/status", "/etc/lookout/status.trees", "/etc/lookout/health.d"),
    *("/etc/lookout/routes.d", "/etc/postgresql/*/main"),
)
# By part: what destroys the data. The units are stopped before.
DESTROY = {
    "alertmanager": "rm -rf /var/lib/prometheus/alertmanager/*",
    "grafana": "rm -f /var/lib/grafana/grafana.db*",
    "certbot": "rm -rf /etc/letsencrypt",
    "configuration": f"rm -rf {' '.join(CONFIGURED)}",
    "models": "rm -rf /var/lib/models",
    "prometheus": "rm -rf /var/lib/prometheus/metrics2/*",
    "status_page": "rm -f /var/lib/lookout/status/status.db*",
}
SAVED = f"/etc/letsencrypt /var/lib/models {' '.join(CONFIGURED)}"
UNITS = "prometheus prometheus-alertmanager grafana-server lookout-status"


def psql(host: Host, sql: str, database: str = "shop") -> str:
    command = f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database} -c %s"
    return str(host.check_output(f"sh -c 'cd / && exec \"$@\"' sh {command}", sql))


def fill(host: Host) -> None:
    psql(host, "DROP TABLE IF EXISTS orders")
    psql(host, "CREATE TABLE orders (id int PRIMARY KEY, customer text)")
    psql(host, "INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i")
    body = json.dumps(SILENCE)
    host.check_output(
        f"{CURL} -X POST -H 'Content-Type: application/json' -d %s"
        " https://127.0.0.1:9093/api/v2/silences",
        body,
    )
    host.check_output("runuser -u lookout-status -- python3 -c %s", RUN)
    assert wait_for(lambda: ask(host, "lookout:canary")), "no canary yet"


def sqlite(host: Host, name: str, query: str) -> str:
    program = (
        "import sqlite3, sys; c = sqlite3.connect(f'file:/var/lib/{sys.argv[1]}.db?mode=ro',"
        " uri=True); print(c.execute('select ' + sys.argv[2]).fetchall())"
    )
    return str(host.check_output("python3 -c %s %s %s", program, name, query))


def seen(host: Host) -> dict[str, object]:
    """What there is, as those see it who use it."""
    silences = json.loads(host.check_output(f"{CURL} https://127.0.0.1:9093/api/v2/silences"))
    return {
        "orders": psql(host, "SELECT count(*), sum(hashtext(customer)) FROM orders"),
        "role": psql(host, "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop'"),
        "silences": sorted(one["id"] for one in silences if one["createdBy"] == "scenario"),
        "files": host.check_output(
            f'sh -c \'find {SAVED} -printf "%p %M %u %g %l %T@\\n" | sort;'
            f" find {SAVED} -type f -exec sha256sum {{}} + | sort'"
        ),
        "grafana": sqlite(host, "grafana/grafana", "name from sqlite_master order by name"),
        "status_page": sqlite(
            host, "lookout/status/status", "* from runs where task = 'round-trip'"
        ),
    }


def each(what: object) -> list[object]:
    """Do it on all hosts at once."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(what, [connect(name) for name in host_names()]))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def saved() -> dict[str, dict[str, object]]:
    """What each host had when it was saved."""
    # The first backup of the deployment may still run.
    each(end)
    each(fill)
    each(begin)
    statuses = each(end)
    assert statuses == [0] * len(host_names()), "\n".join(map(str, each(journal)))
    return dict(zip(host_names(), each(seen), strict=True))  # type: ignore[arg-type]


@pytest.mark.usefixtures("saved")
def test_every_part_is_saved_and_said_to_be(host: Host) -> None:
    shown = metrics(host)
    known = {found[1] for name in shown if (found := re.search(r'exit_code\{part="(.*)"', name))}
    assert known == PARTS
    assert failed(shown) == set()
    success = shown["lookout_backup_last_success_timestamp_seconds"]
    assert success == shown["lookout_backup_last_attempt_timestamp_seconds"]
    assert 0 <= time.time() - success < 900
    assert "all 8 parts are saved" in journal(host)
    listed = host.check_output("lookout-backup --list").splitlines()[-len(PARTS) :]
    assert {line.split()[2] for line in listed} == PARTS
    assert {line.split()[3] for line in listed} == {"yes"}
    assert host.check_output(f"ls -A {STAGE}") == ""
    assert host.run("ls -A /var/lib/prometheus/metrics2/snapshots").stdout == ""
    assert host.run("lookout-backup --dry-run").rc == 0


@pytest.mark.usefixtures("saved")
def test_a_host_gets_the_backup_of_another_one_only_where_that_is_allowed() -> None:
    trixie, bookworm = connect("trixie"), connect("bookworm")
    bookworm.check_output("rm -rf /root/other")
    done = bookworm.run("lookout-restore latest models --host trixie --to /root/other")
    assert done.rc == 0, done.stderr
    model = "/var/lib/models/forecast.bin"
    copy = bookworm.check_output(f"sha256sum < /root/other/models/files{model}")
    assert copy == trixie.check_output(f"sha256sum < {model}")
    refused = trixie.run("lookout-restore latest models --host bookworm --to /root/other")
    assert refused.rc == 1
    assert not trixie.file("/root/other/models/files").exists


def test_samples_are_linked_and_not_copied(host: Host) -> None:
    """In the unit's own view of the system: a link does not lead from one mount to another."""
    shown = host.check_output(
        "systemctl show --value --property=ReadWritePaths --property=ReadOnlyPaths " + UNIT
    )
    assert "/var/lib" in shown.split()
    linked = host.run(
        "systemd-run --quiet --pipe --wait -p ProtectSystem=strict -p ReadWritePaths=/var/lib"
        " ln /var/lib/prometheus/alertmanager/nflog /var/lib/lookout/backup/linked"
    )
    assert linked.rc == 0, linked.stderr
    host.check_output("rm /var/lib/lookout/backup/linked")


def test_it_may_do_what_it_needs_and_no_more(host: Host) -> None:
    said = host.check_output(f"systemd-analyze security --no-pager {UNIT}")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert exposure
    assert float(exposure[1]) <= 3.0
    host.run(f"systemctl reset-failed {UNIT}")
    begin(host)
    # Before that it is still systemd's.
    comm = f"cat /proc/$(systemctl show --property=MainPID --value {UNIT})/comm"
    assert wait_for(lambda: host.run(comm).stdout.strip() == "lookout-backup")
    pid = main_pid(host, UNIT)
    try:
        status = host.check_output(f"cat /proc/{pid}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        # chown, dac_override, dac_read_search, fowner, fsetid, kill, setgid, setuid: of those
        # what the host itself has, as a container lacks one of them
        all_there_are = re.search(r"CapBnd:\t(\w+)", host.check_output("cat /proc/1/status"))
        assert all_there_are
        wanted = 0xFF & int(all_there_are[1], 16)
        assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == wanted
        assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "1")
        for place in ("/etc", "/usr", "/var/lib/dpkg"):
            touched = host.run(f"nsenter --target {pid} --mount -- touch {place}/lookout-probe")
            assert touched.rc != 0, place
    finally:
        assert end(host) == 0


def test_the_timer_runs_it_at_its_time(host: Host) -> None:
    shown = host.check_output("systemctl show lookout-backup.timer")
    assert "OnCalendar=*-*-* 23:00:00 UTC" in shown
    assert "Persistent=yes" in shown
    drop_in = "/run/systemd/system/lookout-backup.timer.d"
    host.check_output(f"mkdir -p {drop_in}")
    text = "[Timer]\\nOnCalendar=\\nOnCalendar=*:*:0/5\\nRandomizedDelaySec=0\\n"
    host.check_output("sh -c %s", f"printf '{text}' > {drop_in}/soon.conf; systemctl daemon-reload")
    host.check_output("systemctl restart lookout-backup.timer")
    try:
        assert wait_for(lambda: main_pid(host, UNIT), 120)
    finally:
        host.check_output("sh -c %s", f"rm -r {drop_in}; systemctl daemon-reload")
        host.check_output("systemctl restart lookout-backup.timer")
    assert end(host) == 0


def _destroy_and_restore(host: Host) -> tuple[int, str]:
    psql(host, "DROP DATABASE shop WITH (FORCE)", "postgres")
    host.check_output(f"systemctl stop {UNITS}")
    for command in DESTROY.values():
        host.check_output(command)
    # What a run of this test before left; without any it says so.
    host.run("lookout-restore --forget-aside --yes")
    host.check_output("systemctl start --no-block training.service")
    done = host.run("timeout 500 lookout-restore latest --yes")
    return done.rc, done.stdout + done.stderr


def test_what_was_destroyed_comes_back_as_it_was(saved: dict[str, dict[str, object]]) -> None:
    started = time.monotonic()
    for name, (status, said) in zip(host_names(), each(_destroy_and_restore), strict=True):  # type: ignore[misc]
        assert status == 0, f"{name}: {said}"
    print(f"restored in {time.monotonic() - started:.0f} s")
    for name in host_names():
        host = connect(name)
        for unit in UNITS.split():
            assert host.service(unit).is_running, f"{name}: {unit}"
        assert wait_for(
            lambda host=host: host.run(f"{CURL} https://127.0.0.1:9093/-/ready").rc == 0
        )
        # Over a training in progress, which would have written over what came back
        states = host.run("systemctl is-active training.timer training.service").stdout
        assert states.split() == ["active", "inactive"]
        assert seen(host) == saved[name]
        since = ask(host, "min_over_time(timestamp(lookout:canary)[1h:2s])")
        assert since
        success = metrics(host)["lookout_backup_last_success_timestamp_seconds"]
        assert float(since[0]["value"][1]) < success, "no sample from before the backup"
        host.check_output("lookout-restore --forget-aside --yes")


def test_the_repositories_are_whole() -> None:
    store = connect(host_names()[0])
    for name in host_names():
        repository_is_whole(store, name)
