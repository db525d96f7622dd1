"""What goes wrong is said, nothing of it is called a success, and the next backup is whole."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator

import pytest
from hosts import connect, wait_for
from nights import UNIT, Trial, begin, end, failed, journal, metrics, repository_is_whole
from testinfra.host import Host
from units import main_pid

# One release: what differs between the two is proven by the round trip.
HOSTS = ["trixie"]
KILLS = int(os.environ.get("LOOKOUT_BACKUP_KILLS", "2"))
ALL_SAVED, SOME_FAILED, NOTHING_SAVED, ANOTHER_RUNS = 0, 3, 4, 5


@pytest.fixture
def trial(host: Host) -> Iterator[Trial]:
    end(host)
    yield Trial(host)
    host.check_output(f"rm -rf {Trial.folder}")


def test_every_part_that_cannot_be_saved_fails_and_the_others_are_saved(trial: Trial) -> None:
    good = trial.data("good")
    trial.part("gone", paths=["/root/trial/data/gone"])
    trial.part("hangs", paths=[good], prepare=["sleep", "3600"], timeout_seconds=3)
    trial.part("refuses", paths=[good], prepare=["sh", "-c", "echo no disk >&2; exit 9"])
    trial.write("parts/typo.yml", "name: typo\npath: [/etc]\n")
    # A dump that ends well and has nothing in it: everything but pg_dump is PostgreSQL's own.
    bin_dir = trial.host.check_output("dirname $(ls /usr/lib/postgresql/*/bin/pg_dump)")
    fake = f"{trial.folder}/bin"
    trial.host.check_output("sh -c %s", f"mkdir {fake}; ln -s {bin_dir}/* {fake}/")
    trial.host.check_output(
        "sh -c %s",
        f"rm {fake}/pg_dump; printf '#!/bin/sh\\nexit 0\\n' > {fake}/pg_dump;"
        f" chmod 755 {fake}/pg_dump /root {trial.folder}",
    )
    trial.part("empty", postgresql={"bin_dir": fake, "socket_dir": "/var/run/postgresql"})
    done = trial.run()
    trial.host.check_output("chmod 700 /root")
    assert done.status == SOME_FAILED, done.said
    assert done.failed == {"gone", "hangs", "refuses", "typo", "empty"}
    for said in (
        "part gone: NOT saved: [Errno 2] No such file or directory: '/root/trial/data/gone'",
        "part hangs: NOT saved: it took longer than 3 s, and was ended",
        "part refuses: NOT saved: sh ended with 9: no disk",
        "path is not known here: did you mean paths?",
        "part empty: NOT saved: ",
        "part good: saved",
        "1 of 6 parts saved",
    ):
        assert said in done.said, said
    assert "cannot be run" not in done.said
    assert "3600" not in trial.host.run("ps -C sleep -o args=").stdout, "what hung still runs"
    assert trial.host.check_output(f"ls -A {trial.folder}/stage") == ""


def test_a_store_that_cannot_be_reached_is_asked_again_and_then_said(trial: Trial) -> None:
    trial.data("good")
    nowhere = {**trial.config["store"], "port": 1}
    done = trial.run(store=nowhere)
    assert (done.status, done.failed) == (NOTHING_SAVED, {"good"}), done.said
    assert "once more in 1 s" in done.said
    assert "Connection refused" in done.said
    # Without any network it is the same.
    elsewhere = {**trial.config["store"], "address": "192.0.2.1"}
    done = trial.run("unshare --net", store=elsewhere)
    assert (done.status, done.failed) == (NOTHING_SAVED, {"good"}), done.said
    assert "cannot be reached" in done.said
    assert done.seconds < 60


def test_wrong_keys_are_said_at_once(trial: Trial) -> None:
    trial.data("good")
    folder = f"{trial.folder}/keys"
    trial.host.check_output(
        "sh -c %s",
        f"umask 077; mkdir {folder}; cp /etc/lookout/backup.ssh/key {folder}/ssh_key;"
        f" echo another > {folder}/password_trixie",
    )
    done = trial.run(f"env CREDENTIALS_DIRECTORY={folder}")
    assert (done.status, done.failed) == (NOTHING_SAVED, {"good"}), done.said
    assert "wrong password or no key found" in done.said
    trial.host.check_output(
        f"sh -c 'rm {folder}/ssh_key; ssh-keygen -q -t ed25519 -N \"\" -f {folder}/ssh_key'"
    )
    done = trial.run(f"env CREDENTIALS_DIRECTORY={folder}")
    assert (done.status, done.failed) == (NOTHING_SAVED, {"good"}), done.said
    assert "does not take this host's key" in done.said
    assert "once more" not in done.said


def test_a_destination_that_is_not_the_right_one_gets_nothing(trial: Trial) -> None:
    trial.data("good")
    store = connect("trixie")
    store.check_output("mount -t tmpfs -o mode=0755 tmpfs /backup")
    try:
        done = trial.run()
        assert (done.status, done.failed) == (NOTHING_SAVED, {"good"}), done.said
        assert "not mounted, or not the one that it should be" in done.said
        assert store.check_output("ls -A /backup") == ""
    finally:
        store.check_output("umount /backup")
    assert trial.run().status == ALL_SAVED


def test_a_store_that_gets_full_in_the_midst_fails_the_part(trial: Trial) -> None:
    path = trial.data("good")
    write = f"head -c 12000000 /dev/urandom > {path}"
    trial.host.check_output("sh -c %s", write)
    assert trial.run(reserve_megabytes=0).status == ALL_SAVED
    trial.part("good", paths=[path], timeout_seconds=20)
    # As large as before, which is no reason to expect more than a tenth of it, and all new
    trial.host.check_output("sh -c %s", write)
    store = connect("trixie")
    used = int(store.check_output("du -sm /backup/monitoring").split()[0])
    store.check_output(f"mount -t tmpfs -o size={used + 6}m tmpfs /mnt")
    store.check_output("sh -c 'cp -a /backup/monitoring /mnt/ && mount --bind /mnt /backup'")
    try:
        done = trial.run(reserve_megabytes=0)
        assert (done.status, done.failed) == (SOME_FAILED, {"good"}), done.said
        # restic tries for a while whether the store gets room, here until the part's time is over.
        assert re.search("part good: NOT saved: (restic backup ended with 1|it took)", done.said)
    finally:
        store.check_output("sh -c 'umount /backup && umount /mnt'")
    trial.part("good", paths=[path])
    assert trial.run(reserve_megabytes=0).status == ALL_SAVED


def test_a_stage_without_room_fails_the_part_before_it_is_copied(trial: Trial) -> None:
    path = trial.data("good")
    trial.host.check_output(f"mkdir -p {trial.folder}/stage")
    trial.host.check_output(f"mount -t tmpfs -o size=4m tmpfs {trial.folder}/stage")
    try:
        trial.host.check_output("sh -c %s", f"head -c 5000000 /dev/urandom > {path}")
        done = trial.run(reserve_megabytes=0)
        assert (done.status, done.failed) == (SOME_FAILED, {"good"}), done.said
        assert "its copy needs 4.8 MiB" in done.said
    finally:
        trial.host.check_output(f"umount {trial.folder}/stage")


def test_a_second_backup_at_the_same_time_is_refused(trial: Trial) -> None:
    path = trial.data("good")
    trial.part("good", paths=[path])
    trial.host.check_output("sh -c %s", f"flock {trial.folder}/lock sleep 40 >/dev/null 2>&1 &")
    done = trial.run()
    assert done.status == ANOTHER_RUNS, done.said
    assert "another backup of this host runs" in done.said
    # What holds it is gone: so is the lock, whatever file is left.
    trial.host.check_output("pkill -9 -x 'flock|sleep'")
    assert trial.run().status == ALL_SAVED


def test_killed_at_any_point_it_leaves_nothing_in_the_way_of_the_next(host: Host) -> None:
    whole = metrics(host)["lookout_backup_duration_seconds"]
    for number in range(KILLS):
        begin(host)
        pid = wait_for(lambda: main_pid(host, UNIT))
        after = random.uniform(0.2, whole)  # noqa: S311
        time.sleep(after)
        print(f"kill {number}: after {after:.1f} s of {whole:.1f}")
        host.run(f"kill -9 {pid}")
        end(host)
    begin(host)
    assert end(host) == ALL_SAVED, journal(host)
    assert failed(metrics(host)) == set()
    assert host.run("ls -A /var/lib/prometheus/metrics2/snapshots").stdout == ""
    repository_is_whole(host, HOSTS[0])
