"""The nightly upkeep, the disk that it is for, and what the role does when something is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import connect, wait_for
from play import changed_tasks, converge
from stage import (
    DAY,
    KEYS,
    MARKER,
    PASSWORDS,
    PATH,
    UNIT,
    give_password,
    ids,
    journal,
    now,
    restic,
    save,
    snapshots,
    ssh,
    upkeep,
)
from testinfra.host import Host

HOSTS = ["store"]
SECRETS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory/secrets"


@pytest.fixture(autouse=True, scope="module")
def _alone(host: Host) -> None:
    """The tests are the clock."""
    host.check_output("systemctl stop lookout-backup_store.timer")
    for name in ("store", "client"):
        give_password(connect(name))


def own(host: Host, arguments: str, repository: str = "store") -> str:
    """restic on the folder itself, as its user."""
    host.check_output(f"install -m 0400 -o lookout-store {PASSWORDS}/{repository} /tmp/password")
    return str(
        host.check_output(
            "runuser -u lookout-store -- env RESTIC_PASSWORD_FILE=/tmp/password"
            f" restic --no-cache -r {PATH}/{repository} {arguments}"
        )
    )


def leave_a_lock(host: Host) -> None:
    """As a restic does that is ended in its work."""
    host.check_output(
        "sh -c %s",
        "mkfifo /tmp/fifo; sleep 60 > /tmp/fifo & echo $! > /root/pids;"
        " setpriv --reuid=lookout-store --regid=lookout-store --clear-groups"
        f" env RESTIC_PASSWORD_FILE=/tmp/password restic --no-cache -r {PATH}/store"
        " backup --stdin < /tmp/fifo > /dev/null 2>&1 & echo $! >> /root/pids",
    )
    locks = f"ls {PATH}/store/locks"
    assert wait_for(lambda: re.search(r"^[0-9a-f]{64}$", host.check_output(locks), re.M))
    host.check_output("sh -c %s", "kill -KILL $(cat /root/pids); rm /tmp/fifo")
    assert host.check_output(locks)


# --- retention ---


def test_of_sixty_nights_thirty_are_left_and_a_dead_lock_is_in_nobodys_way(host: Host) -> None:
    """With one that is dated ahead, one that is not good, and a lock that somebody left."""
    began = now()
    # A name of its own, so that the test may be run again
    part = f"part=nights{began:.0f}"
    host.check_output(f"install -m 0400 -o lookout-store {PASSWORDS}/store /tmp/password")
    host.check_output(
        "runuser -u lookout-store -- env RESTIC_PASSWORD_FILE=/tmp/password sh -ec %s",
        f"""
        save() {{ restic -q --no-cache -r {PATH}/store backup /etc/hostname --host store "$@"; }}
        night() {{ save --tag {part} --time "$(date -d "$1 days ago" '+%F %T')"; }}
        for day in $(seq 1 2 60); do night $day & other=$!; night $((day - 1)); wait $other; done
        save --tag {part}odd --time "$(date -d '59 days ago' '+%F %T')"
        """,
    )
    made = sorted(
        (one for one in snapshots(host) if one["tags"] == [part]), key=lambda one: one["time"]
    )
    assert len(made) == 60
    # When the store got them, as it goes by its own clock
    came = {one["id"]: began - days * DAY for days, one in enumerate(reversed(made))}
    bad = made[50]["id"]
    for first in range(0, 60, 20):
        good = ",".join(f"good={one['id']}" for one in made[first : first + 20] if one["id"] != bad)
        told = began - (59 - first) * DAY
        came[save(host, "/etc/hostname", f"--tag record,{good}", told)] = told
    host.check_output(
        "sh -ec %s",
        f"cd {PATH}/store/snapshots; "
        + "; ".join(f"touch -d @{moment:.0f} {id_}" for id_, moment in came.items()),
    )
    ahead = save(host, "/etc/hostname", f"--tag {part}", began + 2 * DAY)
    save(host, "/etc/hostname", f"--tag record,good={ahead}", began + 2 * DAY)
    leave_a_lock(host)

    status, metrics = upkeep()
    assert status == 0, journal(began)
    left = [one for one in snapshots(host) if one["tags"] == [part]]
    # The bad one is no night of good ones, and so one more is left.
    assert {one["id"] for one in left} == {one["id"] for one in made[28:]} | {ahead}
    assert [one["tags"] for one in snapshots(host) if one["tags"] == [f"{part}odd"]], (
        "never good: it stays"
    )
    assert "takes a lock away" in journal(began)
    assert host.check_output(f"ls {PATH}/store/locks") == ""
    label = f'{{host="store",part="{part.removeprefix("part=")}"}}'
    assert metrics[f"snapshots{label}"] == 33
    assert metrics[f"nights{label}"] == 30
    assert abs(metrics[f"oldest_timestamp_seconds{label}"] - (began - 31 * DAY)) < 600
    assert abs(metrics[f"newest_good_timestamp_seconds{label}"] - began) < 600
    assert (
        f"newest_good_timestamp_seconds{label.replace(part[5:], part[5:] + 'odd')}" not in metrics
    )
    assert (
        metrics['last_check_success{host="store"}']
        == metrics['last_check_success{host="client"}']
        == 1
    )
    assert metrics["last_success_timestamp_seconds"] >= began
    own(host, "check --read-data")
    # A second night finds nothing to do, whatever a host that was broken into dates as it likes.
    # And what an upload has brought that is not done stays for the next one.
    for days in range(0, 40, 8):
        save(host, "/etc/hostname", f"--tag {part}", began - days * DAY)
    forged = ",".join(f"good={id_}" for id_ in ids(host))
    save(host, "/etc/hostname", f"--tag record,unfinished,{forged}")
    before = ids(host)
    assert upkeep()[0] == 0, journal(began)
    assert ids(host) == before
    assert "store: is not pruned" in journal(began)


def test_a_lock_that_lives_is_waited_for(host: Host) -> None:
    """It is renewed, under another name, until whoever holds it has done."""
    stamp = now()
    host.check_output(
        "sh -c %s",
        f"i=0; while [ $i -lt 8 ]; do"
        f"  runuser -u lookout-store -- env RESTIC_PASSWORD_FILE=/tmp/password sh -c"
        f"  '(sleep 2) | restic -q --no-cache -r {PATH}/store backup --stdin --tag part=odd';"
        f"  i=$((i + 1)); done >/dev/null 2>&1 & echo $! > /root/pid",
    )
    status, _ = upkeep()
    assert status == 0, journal(stamp)
    assert "takes a lock away" not in journal(stamp)
    # The last of them is not to come into the next test.
    assert wait_for(lambda: host.run("kill -0 $(cat /root/pid)").rc != 0, 90)


# --- damage ---


@pytest.fixture
def kept(host: Host) -> Iterator[None]:
    """The repositories as they were, after the test."""
    host.check_output("sh -c %s", f"rm -rf /srv/kept; cp -a {PATH} /srv/kept")
    yield
    host.check_output(
        "sh -c %s",
        f"cd {PATH}; rm -rf client store; cp -a /srv/kept/client /srv/kept/store .",
    )


DAMAGE = {
    "a flipped bit in a pack, a flipped bit in an index": (
        "f=$(find store/data -type f | head -1); flip $f",
        "f=$(find client/index -type f | head -1); flip $f",
    ),
    "a truncated pack, a missing one": (
        "f=$(find store/data -type f | head -1); chmod u+w $f; truncate -s -60 $f",
        "rm -f $(find client/data -type f | head -1)",
    ),
    "a missing index, a flipped bit in a snapshot": (
        "rm -f $(find store/index -type f | head -1)",
        "f=$(find client/snapshots -type f | head -1); flip $f",
    ),
}
FLIP = (
    'flip() { chmod u+w $1; python3 -c \'import os, sys; f = open(sys.argv[1], "r+b");'
    " f.seek(os.stat(sys.argv[1]).st_size // 2); b = f.read(1)[0]; f.seek(-1, 1);"
    " f.write(bytes([b ^ 1]))' $1; }"
)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_found_told_and_left_as_it_is(host: Host, how: str) -> None:
    if not snapshots(connect("client")):
        save(connect("client"), "/etc/hostname", "--tag part=etc")
    stamp = now()
    for line in DAMAGE[how]:
        host.check_output("sh -c %s", f"set -e; cd {PATH}; {FLIP}; {line}")
    before = host.check_output(f"find {PATH} -type f -not -path '*/locks/*' -printf '%p %s\\n'")
    status, metrics = upkeep()
    assert status == 1
    for name in ("store", "client"):
        assert metrics[f'last_check_success{{host="{name}"}}'] == 0, journal(stamp)
        assert re.search(rf"{name}: restic \S+ ended with", journal(stamp))
    assert (
        metrics["last_success_timestamp_seconds"] < stamp <= metrics["last_run_timestamp_seconds"]
    )
    after = host.check_output(f"find {PATH} -type f -not -path '*/locks/*' -printf '%p %s\\n'")
    assert after == before, "what is damaged is neither pruned nor added to"


# --- the disk ---


def test_without_its_disk_the_store_writes_nothing(host: Host) -> None:
    stamp = now()
    host.check_output(
        "sh -c %s", "mkdir -p /mnt/aside && mount --bind /backup /mnt/aside && umount /backup"
    )
    try:
        status, metrics = upkeep()
        refused = restic(host, "backup /etc/hostname --tag part=etc")
        said = host.run(f"{ssh(host)} serve store").stderr
        played = converge("store")
        assert host.check_output("ls -A /backup") == "", "it is the root filesystem's"
    finally:
        host.check_output("sh -c %s", "mount --bind /mnt/aside /backup && umount /mnt/aside")
    assert status == 1
    assert metrics["mounted"] == 0
    assert 'last_check_success{host="store"}' in metrics, "what was known is still known"
    assert "/backup is not mounted" in journal(stamp)
    assert refused.rc != 0
    assert "/backup is not mounted" in said
    assert played.returncode != 0
    assert "/backup is not mounted on store" in re.sub(r"\s+", " ", played.stdout)


def test_another_disk_is_refused(host: Host) -> None:
    """An empty one in its place, and one of another store."""
    stamp = now()
    host.check_output(
        "sh -c %s",
        f"mount -t tmpfs tmpfs /backup && install -d -o root -g lookout-store -m 1770 {PATH}",
    )
    try:
        assert upkeep()[0] == 1
        assert "wrong disk" in journal(stamp)
        played = converge("store")
        assert played.returncode != 0
        assert "backup_store_begin_anew=disk" in re.sub(r"\s+", "", played.stdout)
        host.check_output("sh -c %s", f"echo 'other 1' > {MARKER}")
        assert upkeep()[1]["mounted"] == 0
        assert "that of another store" in host.run(f"{ssh(host)} serve store").stderr
        assert host.check_output(f"ls -A {PATH}") == ".lookout-store"
    finally:
        host.check_output("umount /backup")
    assert upkeep()[0] == 0


# --- the second copy ---


def test_a_second_copy_opens_with_the_escrowed_password(host: Host) -> None:
    # As a disk has it that was in another machine, where the user had another number
    host.check_output("install -d -o 4711 -g 4711 -m 0700 /srv/copy/store /srv/copy/store/data")
    done = converge("store", backup_store_copy_to="/srv/copy", backup_store_copy_mount="/srv")
    assert done.returncode == 0, done.stdout
    stamp = now()
    status, metrics = upkeep()
    assert status == 0, journal(stamp)
    assert metrics['copy_last_success_timestamp_seconds{host="store"}'] >= stamp
    escrowed = (SECRETS / "backup_store").read_text(encoding="utf-8").strip()
    listed = host.check_output(
        f"env RESTIC_PASSWORD={escrowed} restic --no-cache -r /srv/copy/store"
        " snapshots --json --no-lock"
    )
    assert listed.count('"original"') == len(snapshots(host))
    exposure = host.check_output(f"systemd-analyze security --no-pager {UNIT}")
    assert float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", exposure)[1]) <= 2.0  # type: ignore[index]


# --- the role ---


def test_a_repository_that_is_lost_is_begun_anew_only_when_that_is_said(host: Host) -> None:
    record = SECRETS / "backup_client.repository"
    former = record.read_text(encoding="utf-8")
    host.check_output(f"mv {PATH}/client /srv/client")
    refused = converge("client")
    assert refused.returncode != 0
    said = re.sub(r"\s+", " ", refused.stdout)
    assert f"{PATH}/client is missing" in said
    assert "backup_store_begin_anew=client" in said
    assert not host.file(f"{PATH}/client").exists
    anew = converge("client", backup_store_begin_anew="client")
    assert anew.returncode == 0, anew.stdout
    assert record.read_text(encoding="utf-8") != former
    assert snapshots(connect("client")) == []
    # The lost one is found again: it is another one than the one on record by now.
    host.check_output("sh -c %s", f"rm -r {PATH}/client; mv /srv/client {PATH}/client")
    refused = converge("client")
    assert refused.returncode != 0
    assert f"{PATH}/client is another repository" in re.sub(r"\s+", " ", refused.stdout)
    record.write_text(former, encoding="utf-8")


def test_a_host_that_is_removed_is_not_let_in_and_a_run_that_died_is_gone_on_with(
    host: Host,
) -> None:
    client = connect("client")
    password = host.check_output(f"cat {PASSWORDS}/client")
    done = converge("client", playbook="forget.yml")
    assert done.returncode == 0, done.stdout
    assert host.run(f"grep -q ' client$' {KEYS}").rc == 1
    assert "Permission denied" in client.run(f"{ssh(client)} status client").stderr
    assert not host.file(f"{PASSWORDS}/client").exists
    assert host.file(f"{PATH}/client/config").exists, "its backups stay"
    status, metrics = upkeep()
    assert status == 0
    assert not any('host="client"' in name for name in metrics)
    # What a run leaves that is killed before the control node wrote anything down, or in the midst
    # of making a key.
    before = {file.name: file.read_text(encoding="utf-8") for file in SECRETS.glob("backup_*")}
    for name in ("backup_client.repository", "backup_store_store.identity"):
        (SECRETS / name).unlink()
    host.check_output(f"install -d -o lookout-store {PATH}/.new-client/keys")
    # And what a disk says of its owners on a machine that was built anew
    host.check_output(f"chown -R 4711:4711 {PATH}/store")
    client.check_output(
        "sh -c 'cd /etc/lookout/backup.ssh && echo half > key.new && rm known_hosts'"
    )
    done = converge("store", "client")
    assert done.returncode == 0, done.stdout
    assert {
        file.name: file.read_text(encoding="utf-8") for file in SECRETS.glob("backup_*")
    } == before
    assert host.check_output(f"cat {PASSWORDS}/client") == password
    assert client.run(f"{ssh(client)} status client").rc == 0
    assert snapshots(client)
    strangers = (
        f"find {PATH} -mindepth 1 -not -user lookout-store -not -name {MARKER.rpartition('/')[2]}"
    )
    assert host.check_output(strangers) == ""
    assert snapshots(host)
    assert changed_tasks(done)
