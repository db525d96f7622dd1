"""A run saves what it can, and says loudly what it could not."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backup_stage import HOST, PLENTY, Copied, Stage

from lookout.backup import manifest, run
from lookout.backup.night import Night
from lookout.backup.parts import Part
from lookout.backup.reach import Status, StoreError, UnreachableError
from lookout.backup.restic import ResticError, Saved, Snapshot
from lookout.backup.state import NOT_COPIED, load

NOW = 1_800_000_000.0
# `make test-faults` does more of them.
KILLS = int(os.environ.get("LOOKOUT_BACKUP_KILLS", "2"))


def test_every_part_is_saved_with_its_manifest_and_the_record_names_them_good(
    real_stage: Stage,
) -> None:
    real_stage.part("alpha", "the data of alpha")
    real_stage.part("beta")
    assert real_stage.run(now=NOW) == run.ALL_SAVED
    alpha, beta, record = real_stage.snapshots()
    assert [alpha.part, beta.part, record.part] == ["alpha", "beta", ""]
    assert record.good == (alpha.id, beta.id)
    copy = real_stage.restored(alpha.id)
    assert (copy / "files/alpha.data").read_text() == "the data of alpha"
    told = manifest.read(copy)
    assert (told.host, told.run, told.release) == (HOST, NOW, "bookworm")
    assert told.facts == {"files": {"names": ["alpha.data"]}}
    assert alpha.bytes == sum(f.stat().st_size for f in copy.rglob("*") if f.is_file())
    assert alpha.host == HOST
    happened = json.loads((real_stage.restored(record.id) / "run.json").read_text())
    assert happened["parts"]["beta"]["exit_code"] == 0
    assert real_stage.reported == []


def test_the_state_and_the_metrics_say_so(real_stage: Stage) -> None:
    real_stage.part("alpha", "x" * 100_000)
    real_stage.run(now=NOW)
    shown = real_stage.metrics()
    assert shown["lookout_backup_last_attempt_timestamp_seconds"] == NOW
    assert shown["lookout_backup_last_success_timestamp_seconds"] == NOW
    assert shown['lookout_backup_part_exit_code{part="alpha"}'] == 0
    assert shown['lookout_backup_part_last_success_timestamp_seconds{part="alpha"}'] == NOW
    assert shown['lookout_backup_part_bytes{part="alpha"}'] > 100_000
    assert 100_000 < shown['lookout_backup_part_added_bytes{part="alpha"}'] < 110_000
    assert shown['lookout_backup_part_duration_seconds{part="alpha"}'] > 0
    assert shown["lookout_backup_duration_seconds"] > 0


def test_nothing_is_left_in_the_stage(stage: Stage) -> None:
    stage.part("alpha")
    stage.part("beta").unlink()
    stage.run()
    assert list(stage.options.stage_dir.iterdir()) == []


def test_a_part_that_fails_fails_the_run_and_the_others_are_saved(stage: Stage) -> None:
    stage.part("alpha").unlink()
    stage.part("beta")
    assert stage.run(now=NOW) == run.SOME_FAILED
    assert stage.good() == {"beta"}
    assert stage.state().last_success == 0
    shown = stage.metrics()
    assert shown['lookout_backup_part_exit_code{part="alpha"}'] == NOT_COPIED
    # What never was has no time: the alert for a host without a backup goes by that.
    assert "lookout_backup_last_success_timestamp_seconds" not in shown
    assert 'lookout_backup_part_last_success_timestamp_seconds{part="alpha"}' not in shown
    assert shown['lookout_backup_part_last_success_timestamp_seconds{part="beta"}'] == NOW
    (said,) = stage.reported
    assert said.startswith(f"backup of {HOST}: 1 of 2 parts saved; alpha: ")
    assert "unfinished" not in stage.snapshots()[-1].tags, "it was not begun"
    assert "No such file" in said or "does not exist" in said


def test_a_way_that_breaks_at_the_end_does_not_spoil_the_whole_night(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.part("alpha")
    repository, tried = stage.client.repository(HOST), []
    listed = repository.snapshots

    def breaks(timeout_seconds: float = 300) -> list[Snapshot]:
        tried.append(1)
        if len(tried) == 1:
            raise ResticError("restic snapshots ended with 1: unexpected EOF", 1)
        return listed(timeout_seconds)

    monkeypatch.setattr(repository, "snapshots", breaks)
    assert stage.run(pauses=(0.0,)) == run.ALL_SAVED
    assert stage.good() == {"alpha"}


@pytest.mark.parametrize(
    ("journal", "saved"),
    [
        ('{"finished": true, "entries": [{"a key of another version": 1}]}', {"alpha", "beta"}),
        (
            '{"finished": false, "entries": [{"part": {"name": "beta"}, "state": "putting"}, '
            '{"part": {"name": "alpha", "more": 1}, "state": "waiting"}]}',
            {"alpha"},
        ),
        ("{", set()),
    ],
)
def test_what_a_restore_left_halfway_is_not_saved_and_all_else_is(
    stage: Stage, journal: str, saved: set[str]
) -> None:
    stage.part("alpha")
    stage.part("beta")
    kept = stage.options.stage_dir.parent / "aside/20261126T000000.000000Z"
    kept.mkdir(parents=True)
    (kept / "restore.json").write_text(journal)
    status = stage.run()
    assert stage.good() == saved
    assert status == (run.ALL_SAVED if len(saved) == 2 else run.SOME_FAILED)
    assert len(stage.reported) == (status != run.ALL_SAVED)
    failed = {name for name, part in stage.state().parts.items() if part.exit_code}
    assert failed == {"alpha", "beta"} - saved


def test_what_failed_once_is_good_again_the_next_night(stage: Stage) -> None:
    data = stage.part("alpha")
    data.rename(data.with_suffix(".away"))
    stage.run(now=NOW)
    data.with_suffix(".away").rename(data)
    assert stage.run(now=NOW + 86400) == run.ALL_SAVED
    assert stage.state().parts["alpha"].exit_code == 0
    assert stage.state().last_success == NOW + 86400


def test_a_file_that_restic_cannot_read_makes_no_good_snapshot(
    real_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """restic saves the rest then, and ends with 3: that is no success."""
    restic = tmp_path / "bin/restic"
    restic.parent.mkdir()
    restic.write_text(
        f'#!/bin/sh\n{shutil.which("restic")} "$@"; status=$?\n'
        'case "$*" in *part=alpha*) exit 3;; esac\nexit $status\n'
    )
    restic.chmod(0o755)
    monkeypatch.setenv("PATH", f"{restic.parent}:{os.environ['PATH']}")
    real_stage.part("alpha")
    real_stage.part("beta")
    assert real_stage.run() == run.SOME_FAILED
    assert real_stage.good() == {"beta"}
    assert real_stage.state().parts["alpha"].exit_code == 3


def test_a_copy_that_is_empty_is_a_failure(stage: Stage) -> None:
    stage.part("alpha")
    (stage.options.parts_dir / "beta.yml").write_text("name: beta\npaths: [/nonexistent]\n")

    class Nothing(Copied):
        def bytes_needed(self) -> int:
            return 0

        def save(self, folder: Path) -> None:
            pass

    def sources(part: Part) -> list[Copied]:
        return [Nothing(part) if part.name == "beta" else Copied(part)]

    assert stage.run(sources=sources) == run.SOME_FAILED
    assert "beta: the copy of its files is empty" in stage.reported[0]
    assert stage.good() == {"alpha"}


@pytest.mark.parametrize("before", ["saved parts", "saved nothing"])
def test_a_host_that_has_lost_its_parts_fails(stage: Stage, before: str) -> None:
    file = stage.options.parts_dir / "alpha.yml"
    if before == "saved parts":
        stage.part("alpha")
        assert stage.run(now=NOW) == run.ALL_SAVED
        file.unlink()
    assert stage.run(now=NOW + 1) == run.NOTHING_SAVED
    assert "no part is registered in" in stage.reported[0]
    assert "site.yml" in stage.reported[0]
    assert stage.state().last_success == (NOW if before == "saved parts" else 0)
    # What was known of them is still told.
    assert set(stage.state().parts) == ({"alpha"} if before == "saved parts" else set())


def test_a_host_that_never_had_parts_has_nothing_to_save(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    stage.options = replace(stage.options, has_parts=False)
    assert stage.run(now=NOW) == run.ALL_SAVED
    assert stage.state().last_success == NOW
    said = capfd.readouterr().err
    assert "there is nothing to save" in said
    assert "parts are saved" not in said


def test_while_it_runs_it_says_so_and_what_it_may_take(stage: Stage) -> None:
    stage.part("alpha")
    file = stage.root / "seen"

    def told(_folder: Path) -> None:
        file.write_text(json.dumps(stage.metrics()))

    stage.before["alpha"] = told
    assert stage.run() == run.ALL_SAVED
    seen = json.loads(file.read_text())
    assert (seen["lookout_backup_running"], stage.metrics()["lookout_backup_running"]) == (1, 0)
    assert seen["lookout_backup_time_limit_seconds"] == stage.options.timeout_seconds


def test_a_store_that_looks_after_the_repository_is_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check or a prune takes longer than all the pauses for a way that broke."""
    stage.part("alpha", timeout_seconds=20)
    repository = stage.client.repository(HOST)
    saves, tries = repository.backup, stage.root / "tries"

    def locked(folder: Path, tags: list[str], *more: Any) -> Saved:
        # A part is saved in a process of its own.
        tries.write_text((tries.read_text() if tries.exists() else "") + "x")
        if len(tries.read_text()) in (1, 2, 3, 5, 6, 7):
            raise ResticError("restic backup ended with 1: repository is already locked", 1)
        return saves(folder, tags, *more)

    monkeypatch.setattr(repository, "backup", locked)
    assert stage.run(pauses=(0.01,)) == run.ALL_SAVED
    assert stage.good() == {"alpha"}
    assert len(tries.read_text()) == 8, "the part, and then the record"


def test_a_store_that_never_lets_go_is_waited_for_as_long_as_the_part_may_take(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.part("alpha", timeout_seconds=2)
    stage.part("beta")
    repository = stage.client.repository(HOST)
    saves = repository.backup

    def locked(folder: Path, tags: list[str], *more: Any) -> Saved:
        if "part=alpha" in tags:
            raise ResticError("restic backup ended with 1: repository is already locked", 1)
        return saves(folder, tags, *more)

    monkeypatch.setattr(repository, "backup", locked)
    assert stage.run(pauses=(0.1,)) == run.SOME_FAILED
    assert "alpha: restic backup ended with 1: repository is already locked" in stage.reported[0]
    assert stage.good() == {"beta"}


def test_a_file_that_names_no_part_fails_the_run_by_its_name(stage: Stage) -> None:
    stage.part("alpha")
    (stage.options.parts_dir / "beta.yml").write_text("name: beta\npath: [/etc]\n")
    assert stage.run() == run.SOME_FAILED
    assert stage.good() == {"alpha"}
    assert stage.metrics()['lookout_backup_part_exit_code{part="beta"}'] == NOT_COPIED
    assert "did you mean paths?" in stage.reported[0]


def test_a_part_that_hangs_is_ended_with_all_that_it_started(stage: Stage) -> None:
    stage.part("alpha", timeout_seconds=3)
    stage.part("beta")
    pids = stage.root / "pids"

    def hang(_folder: Path) -> None:
        # One of them leaves the process group.
        script = f"sleep 98 & echo $! >> {pids}; setsid sleep 99 & echo $! >> {pids}; wait"
        subprocess.run(["sh", "-c", script], check=False, timeout=97)

    stage.before["alpha"] = hang
    started = time.monotonic()
    assert stage.run() == run.SOME_FAILED
    assert time.monotonic() - started < 30
    assert "alpha: it took longer than 3 s, and was ended" in stage.reported[0]
    assert stage.good() == {"beta"}
    # Some of it may be at the store, which is not to throw it away.
    assert "unfinished" in stage.snapshots()[-1].tags
    running = pids.read_text().split()
    assert len(running) == 2
    assert [pid for pid in running if Path("/proc", pid).exists()] == []
    assert list(stage.options.stage_dir.iterdir()) == []


def test_a_piece_that_is_broken_fails_a_run_of_its_part_and_is_no_part_that_is_gone(
    stage: Stage,
) -> None:
    data = stage.part("alpha")
    (stage.options.parts_dir / "alpha.yml").unlink()
    for piece, path in (("web", data), ("dns", "etc")):
        text = f"name: alpha\npiece: {piece}\npaths: [{path}]\n"
        (stage.options.parts_dir / f"alpha-{piece}.yml").write_text(text)
    assert stage.run("alpha") == run.SOME_FAILED
    assert "alpha-dns: alpha-dns.yml: paths" in stage.reported[-1]
    (stage.options.parts_dir / "alpha-web.yml").unlink()
    assert stage.run() == run.SOME_FAILED
    assert stage.snapshots()[-1].names == ("alpha",)


def test_parts_for_which_no_time_is_left_fail(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.options = replace(stage.options, timeout_seconds=0.0)
    stage.part("alpha")
    # It is full, and nobody asks: one that does not answer would take the time of the record.
    stage.client.answer = replace(PLENTY, free_bytes=0)
    monkeypatch.setattr(Night, "check_room", lambda *_: None)
    assert stage.run() == run.SOME_FAILED
    assert "no time is left: the parts before it took all of it" in stage.reported[0]
    assert "full" not in stage.reported[0]


def test_what_a_command_before_the_copy_says_is_kept_and_its_failure_counts(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.part("alpha", prepare="[sh, -c, 'echo made ready']")
    stage.part("beta", prepare="[sh, -c, 'echo cannot >&2; exit 7']")
    ready = stage.root / "said"
    # The log of a child: in its own process, so by the file
    handler = logging.FileHandler(ready)
    logging.getLogger("lookout.backup").addHandler(handler)
    try:
        assert stage.run() == run.SOME_FAILED
    finally:
        logging.getLogger("lookout.backup").removeHandler(handler)
        handler.close()
    assert "part alpha: sh: made ready" in ready.read_text()
    assert "beta: sh ended with 7: cannot" in stage.reported[0]
    assert stage.good() == {"alpha"}


def test_chosen_parts_alone_say_nothing_of_the_host_as_a_whole(stage: Stage) -> None:
    stage.part("alpha")
    stage.part("beta")
    assert stage.run("alpha", now=NOW) == run.ALL_SAVED
    state = stage.state()
    assert (state.last_attempt, state.last_success) == (0, 0)
    assert state.parts["alpha"].last_success == NOW
    assert "beta" not in state.parts
    assert stage.good() == {"alpha"}
    assert "partial" in stage.snapshots()[-1].tags
    assert stage.snapshots()[-1].names == ("alpha",)


def test_the_record_names_the_parts_that_the_host_has(stage: Stage) -> None:
    stage.part("alpha")
    stage.part("beta", prepare="[sh, -c, 'exit 7']")
    (stage.options.parts_dir / "gamma.yml").write_text("it: is no part", "ascii")
    (stage.options.parts_dir / "no,part.yml").write_text("it: is no part", "ascii")
    stage.run()
    record = stage.snapshots()[-1]
    assert "whole" in record.tags
    assert set(record.names) == {"alpha", "beta", "gamma"}
    assert stage.good() == {"alpha"}


def test_a_part_that_nobody_registered_is_refused(stage: Stage) -> None:
    stage.part("alpha")
    with pytest.raises(StoreError, match="no part gamma on this host: alpha"):
        stage.run("gamma")


def test_parts_that_are_registered_no_more_are_forgotten(stage: Stage) -> None:
    stage.part("alpha")
    stage.part("beta")
    stage.run()
    (stage.options.parts_dir / "beta.yml").unlink()
    stage.run()
    assert set(stage.state().parts) == {"alpha"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (UnreachableError("the store cannot be reached"), "cannot be reached"),
        (replace(PLENTY, mounted=False), "not mounted"),
        (replace(PLENTY, repository=False), "no repository for app1"),
        (replace(PLENTY, free_bytes=1000), "free, of which"),
    ],
)
def test_a_store_that_cannot_keep_a_backup_fails_every_part_before_it_starts(
    stage: Stage, answer: Status | Exception, why: str
) -> None:
    stage.part("alpha", "x" * 2000)
    stage.client.answer = answer
    stage.before["alpha"] = lambda _folder: (_ for _ in ()).throw(AssertionError("it was copied"))
    assert stage.run(now=NOW) == run.NOTHING_SAVED
    assert why in stage.reported[0]
    assert stage.state().parts["alpha"].exit_code == NOT_COPIED
    assert stage.state().last_attempt == NOW
    assert stage.state().last_success == 0


def test_a_wrong_password_is_said_before_anything_is_copied(real_stage: Stage) -> None:
    real_stage.part("alpha")
    (real_stage.root / f"keys/password_{HOST}").write_text("another one\n")
    assert real_stage.run() == run.NOTHING_SAVED
    assert "wrong password or no key found" in real_stage.reported[0]


def test_a_stage_without_room_fails_the_part_and_says_the_figures(stage: Stage) -> None:
    stage.part("alpha")
    assert stage.run(reserve_bytes=1 << 60) == run.SOME_FAILED
    assert "its copy needs 23 bytes" in stage.reported[0]


def test_a_second_run_at_the_same_time_is_refused(stage: Stage) -> None:
    file = stage.options.lock_file
    with run.locked(file), pytest.raises(run.LockedError), run.locked(file, patience_seconds=0.2):
        pass
    # A file that somebody left is no lock.
    assert stage.options.lock_file.exists()
    stage.part("alpha")
    assert stage.run() == run.ALL_SAVED


def test_a_damaged_state_is_begun_anew(stage: Stage) -> None:
    stage.part("alpha")
    stage.options.state_file.write_text('{"version": 1, "last_att')
    assert stage.run(now=NOW) == run.ALL_SAVED
    assert stage.state().last_success == NOW


def test_what_a_restore_left_halfway_does_not_pass_for_a_backup(stage: Stage) -> None:
    stage.part("wiki")
    stage.part("shop")
    entry = {"part": {"name": "shop", "paths": ["/srv/shop"]}, "snapshot": "a", "time": 1.0}
    journal = {"host": HOST, "started": 1.0, "entries": [{**entry, "state": "putting"}]}
    folder = stage.options.stage_dir.parent / "aside/20261126T000000Z"
    folder.mkdir(parents=True)
    (folder / "restore.json").write_text(json.dumps(journal))
    assert stage.run() == run.SOME_FAILED
    assert "shop: its restore was interrupted" in stage.reported[0]
    state, _ = load(stage.options.state_file)
    assert (state.parts["wiki"].exit_code, state.parts["shop"].exit_code) == (0, 255)
    (folder / "restore.json").write_text(json.dumps({**journal, "finished": True}))
    assert stage.run() == run.ALL_SAVED


def test_a_success_of_a_clock_that_was_ahead_is_forgotten_by_the_next_run(stage: Stage) -> None:
    data = stage.part("alpha")
    stage.run(now=NOW + 2 * 86400)
    data.unlink()
    stage.run(now=NOW)
    assert (stage.state().last_success, stage.state().parts["alpha"].last_success) == (0, 0)


def test_metrics_that_cannot_be_written_do_not_keep_a_backup_from_being_made(stage: Stage) -> None:
    stage.part("alpha")
    stage.options = replace(stage.options, metrics_file=stage.root / "nowhere/backup.prom")
    assert stage.run() == run.ALL_SAVED
    assert stage.good() == {"alpha"}


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import backup_stage
backup_stage.stage_at(Path(sys.argv[1])).run()
"""


def test_a_run_that_is_killed_at_any_moment_leaves_nothing_that_hinders_the_next_one(
    real_stage: Stage,
) -> None:
    for name in ("alpha", "beta"):
        real_stage.part(name, os.urandom(3_000_000).hex())
    sources = [str(Path(__file__).parent), str(Path(run.__file__).parents[2])]
    # Its start takes half a second, a whole run with two parts three or so.
    for number in range(KILLS):
        seconds = random.uniform(0.3, 4.0)  # noqa: S311
        print(f"kill {number}: after {seconds:.2f} s")
        started = subprocess.Popen([sys.executable, "-c", KILLED, str(real_stage.root), *sources])
        time.sleep(seconds)
        started.send_signal(signal.SIGKILL)
        started.wait(10)
        assert real_stage.run() == run.ALL_SAVED
        assert real_stage.good() == {"alpha", "beta"}
        assert list(real_stage.options.stage_dir.iterdir()) == []
    repository = real_stage.client.repository(HOST)
    # A restic that ended a moment after its run left its lock, which hinders no backup.
    repository.unlock()
    checked = repository.run("check", timeout_seconds=60)
    assert checked.returncode == 0, checked.stderr
