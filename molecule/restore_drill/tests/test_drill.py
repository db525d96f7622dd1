"""The good backup passes, every bad one fails, and what is no fault of the backup is an error."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hosts import connect, wait_for
from mutations import BOOKWORM, CONTENT, PARTS, REPOSITORY, TRIXIE, Mutation, batches
from play import playbook
from site_of_drill import (
    PROM,
    SCRATCH,
    STATE,
    UNIT,
    USER,
    Drilled,
    Good,
    assert_nothing_is_left,
    drill,
    live,
    make_good,
    shell,
    store,
)

pytestmark = pytest.mark.usefixtures("good")
CREDENTIAL = "/etc/lookout/restore_drill.credentials/password_bookworm"
# What was found of each mutation, for the table at the end
TABLE: dict[str, str] = {}


@pytest.fixture(scope="module")
def good() -> Iterator[Good]:
    store.check_output("systemctl stop lookout-restore_drill.timer lookout-backup_store.timer")
    # Before the first drill
    assert {
        f'known_since_timestamp_seconds{{host="{host}"}}' for host in (TRIXIE, BOOKWORM)
    } <= set(metrics())
    made = make_good()
    yield made
    made.restore()
    shell(store, "rm -rf /root/good /root/mutant /root/record /backup/kept")
    store.check_output("systemctl start lookout-restore_drill.timer lookout-backup_store.timer")


def metrics() -> dict[str, float]:
    found = re.findall(
        r"^(lookout_restore_drill_\S+) (\S+)$", store.check_output(f"cat {PROM}"), re.M
    )
    return {name.removeprefix("lookout_restore_drill_"): float(value) for name, value in found}


def test_the_good_backup_passes_and_nothing_live_is_touched() -> None:
    hosts = [connect(name) for name in (TRIXIE, BOOKWORM)]
    before, began = [live(host) for host in hosts], time.time()
    store.check_output(f"systemctl start {UNIT}")
    assert store.check_output(f"systemctl show --property=ExecMainStatus --value {UNIT}") == "0"
    assert [live(host) for host in hosts] == before
    assert_nothing_is_left()
    found = metrics()
    for host in (TRIXIE, BOOKWORM):
        assert found[f'result{{host="{host}",result="passed"}}'] == 1
        assert found[f'last_passed_timestamp_seconds{{host="{host}"}}'] >= began - 1
        assert found[f'restore_seconds{{host="{host}"}}'] > 0
        assert 0 <= found[f'data_age_seconds{{host="{host}"}}'] < 1800
        for part in PARTS:
            assert found[f'part_passed{{host="{host}",part="{part}"}}'] == 1
            assert found[f'part_restore_seconds{{host="{host}",part="{part}"}}'] > 0


def test_the_timer_is_weekly_and_the_unit_may_do_little() -> None:
    shown = store.check_output(
        "systemctl show --property=TimersCalendar lookout-restore_drill.timer"
    )
    assert "OnCalendar=Sun *-*-* 03:17:00 UTC" in shown
    wanted = {"User": USER, "Nice": "19", "IOSchedulingClass": "3", "ProtectSystem": "strict",
              "NoNewPrivileges": "yes", "CapabilityBoundingSet": ""}  # fmt: skip
    names = ",".join(wanted)
    lines = store.check_output(f"systemctl show --property={names} {UNIT}").splitlines()
    assert dict(line.split("=", 1) for line in lines) == wanted
    shown = store.check_output(f"systemd-analyze security --no-pager {UNIT}")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure
    assert float(exposure[1]) <= 2.0


def test_secrets_are_in_no_report_and_no_log() -> None:
    shown = shell(
        store, f"cat {STATE}/reports/* {STATE}/state.json /var/log/monitoring/restore_drill.log"
    )
    assert "canary-" not in shown
    assert store.check_output(f"cat {CREDENTIAL}") not in shown


# --- bad backups ---


@pytest.fixture(scope="module")
def drilled(good: Good) -> dict[str, Drilled]:
    """What a drill says of each mutation of the content; all parts at once."""
    found = {}
    for batch in batches():
        good.mutate(batch)
        done = drill()
        assert done.status == 3, done.said
        found.update({str(one): done for one in batch})
        touched = {(one.host, one.part) for one in batch}
        for host in (TRIXIE, BOOKWORM):
            for part in PARTS:
                if (host, part) not in touched:
                    assert done.part(host, part)["result"] == "passed", done.why(host, part)
        assert_nothing_is_left()
        good.restore()
    return found


@pytest.mark.parametrize("one", CONTENT, ids=str)
def test_content_that_is_bad_fails(drilled: dict[str, Drilled], one: Mutation) -> None:
    done = drilled[str(one)]
    found = done.part(one.host, one.part)
    TABLE[str(one)] = f"{found['result']}  {done.why(one.host, one.part)}"
    assert found["result"] == "failed"
    assert re.search(one.reason, done.why(one.host, one.part)), done.why(one.host, one.part)


@pytest.mark.usefixtures("drilled")
def test_the_last_pass_is_remembered() -> None:
    found = metrics()
    for host in (TRIXIE, BOOKWORM):
        assert found[f'result{{host="{host}",result="failed"}}'] == 1
        assert found[f'result{{host="{host}",result="passed"}}'] == 0
        assert (
            found[f'last_passed_timestamp_seconds{{host="{host}"}}']
            < (found[f'last_run_timestamp_seconds{{host="{host}"}}'])
        )


@pytest.mark.parametrize("one", REPOSITORY, ids=str)
def test_a_damaged_repository_fails(good: Good, one: Mutation) -> None:
    good.damage(one)
    try:
        done = drill("--host", one.host)
    finally:
        good.restore(one.host)
    why = done.why(one.host, one.part)
    TABLE[str(one)] = f"{done.report['result']}  {why}"
    assert (done.status, done.report["result"]) == (3, "failed"), done.said
    assert re.search(one.reason, why), why
    assert_nothing_is_left()


def test_a_password_of_the_escrow_that_does_not_open_it_fails() -> None:
    """By the playbook, which fails as well."""
    shell(store, f"cp -a {CREDENTIAL} /root/password && echo another > {CREDENTIAL}")
    try:
        done = playbook("playbooks/restore_drill.yml", "-e", "restore_drill_of=bookworm")
    finally:
        shell(store, f"mv /root/password {CREDENTIAL}")
    # Ansible folds long lines.
    said = " ".join(done.stdout.split())
    TABLE["bookworm: the escrow has another password"] = (
        "failed" if "does not open the repository" in said else "?"
    )
    assert done.returncode == 2, done.stdout
    assert "secrets/backup_bookworm) does not open the repository" in said
    assert "A backup is bad, see the table above" in said


# --- what is no fault of the backup ---


def errors(part: str = "shop") -> str:
    """What an error says; nothing of a drill is left."""
    done = drill("--host", BOOKWORM, "--part", part)
    why = done.why(BOOKWORM, part)
    assert (done.status, done.report["result"]) == (4, "error"), done.said
    assert_nothing_is_left()
    return why


def test_a_store_that_cannot_be_reached_is_an_error() -> None:
    store.check_output("systemctl stop ssh.service")
    try:
        assert "cannot be reached" in errors()
    finally:
        store.check_output("systemctl start ssh.service")


def test_a_key_that_the_store_does_not_know_is_an_error() -> None:
    keys = "/var/lib/lookout/store/.ssh/authorized_keys"
    shell(store, f"cp -a {keys} /root/keys && sed -i '/reader$/d' {keys}")
    try:
        assert "Permission denied" in errors()
    finally:
        shell(store, f"mv /root/keys {keys}")


def test_no_room_is_an_error() -> None:
    store.check_output(f"mount -t tmpfs -o size=50m,uid=$(id -u {USER}),mode=700 tmpfs {SCRATCH}")
    try:
        assert "there is no room to judge it" in errors()
    finally:
        store.check_output(f"umount {SCRATCH}")


def test_a_program_that_is_not_here_is_an_error() -> None:
    programs = {
        "postgresql": "/usr/lib/postgresql/17/bin/initdb",
        "prometheus": "/usr/bin/prometheus",
    }
    for part, program in programs.items():
        store.check_output(f"mv {program} {program}.away")
        try:
            assert re.search(
                r"no (Prometheus|server of PostgreSQL) is on this host", errors(part=part)
            )
        finally:
            store.check_output(f"mv {program}.away {program}")


# --- a drill that is killed ---


def test_what_a_killed_drill_leaves_is_gone_with_the_next_one() -> None:
    store.check_output(f"systemctl start --no-block {UNIT}")
    assert wait_for(lambda: store.run(f"pgrep -u {USER} -x postgres").stdout, 240)
    pid = store.check_output(f"systemctl show --property=MainPID --value {UNIT}")
    store.check_output(f"kill -9 {pid}")
    active = f"systemctl is-active {UNIT}"
    # systemd waits two minutes for what the drill started.
    assert wait_for(lambda: store.run(active).stdout.strip() == "failed", 180)
    assert store.run(f"pgrep -u {USER}").stdout == "", "its servers end with it"
    assert store.check_output(f"ls {SCRATCH}") != ""
    # One that got out of the unit, as of a drill that was not started by systemd
    server = f"tail -f {SCRATCH}/log"
    shell(store, f"runuser -u {USER} -- sh -c ': > {SCRATCH}/log; exec {server}' >/dev/null 2>&1 &")
    assert wait_for(lambda: store.run(f"pgrep -u {USER} -x tail").stdout)
    done = drill("--host", BOOKWORM, "--part", "shop")
    assert done.status == 0, done.said
    assert_nothing_is_left()
    store.check_output(f"systemctl reset-failed {UNIT}")


def test_a_copy_is_kept_for_a_look_when_asked_for() -> None:
    done = drill("--host", BOOKWORM, "--part", "shop", "--keep-scratch")
    assert done.status == 0, done.said
    kept = shell(store, f"cat {SCRATCH}/drill-*/restored/files/etc/shop/shop.yml")
    assert kept == "name: shop\nport: 8080"
    assert "stay in" in done.said
    assert drill("--host", BOOKWORM, "--part", "shop").status == 0
    assert_nothing_is_left()


def test_the_playbook_shows_what_passed_and_what_is_no_longer_saved(good: Good) -> None:
    good.drop(BOOKWORM, "postgresql")
    try:
        done = playbook("playbooks/restore_drill.yml", "-e", "restore_drill_of=bookworm")
    finally:
        good.restore(BOOKWORM)
    assert done.returncode == 0, done.stdout
    for part in set(PARTS) - {"postgresql"}:
        assert re.search(rf"passed +bookworm +{part} ", done.stdout), done.stdout
    # Ansible folds long lines.
    said = " ".join(done.stdout.split())
    assert re.search(
        r"postgresql: the run of \S+ \S+ UTC does not name it: it is no longer", said
    ), said


def test_every_mutation_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Last: the table."""
    with capsys.disabled():
        print("\n")
        for name, what in TABLE.items():
            print(f"{name:<60.60} {what.splitlines()[0]:.110}")
        failed = sum(what.startswith("failed") for what in TABLE.values())
        print(f"{failed}/{len(TABLE)} mutations fail the drill")
    assert failed == len(TABLE) == len(CONTENT) + len(REPOSITORY) + 1
