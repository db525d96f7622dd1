"""Clocks that are two days off, of a host and of the store, with a real repository."""

from __future__ import annotations

import os
import time

import pytest
from backup_stage import HOST, Stage

from lookout.backup import run, store_state, store_upkeep
from lookout.backup.drill.choose import choose as choose_for_drill
from lookout.backup.restore.choice import choose as choose_to_restore
from lookout.backup.store_options import MARKER, StoreOptions
from lookout.backup.store_state import Notes, State

DAY = 86400.0
# A backup that is as old in one direction or the other is an alert (roles/backup/files/thresholds).
OLD_SECONDS = 26 * 3600.0
SUCCESS = "lookout_backup_last_success_timestamp_seconds"


class Clock:
    """The host's clock, of our program and of restic, which nobody can be told by a library."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stage, self._monkeypatch = stage, monkeypatch
        program = stage.root / "bin/restic"
        program.parent.mkdir()
        program.write_text(
            '#!/bin/sh\ncase " $* " in *" backup . "*) set -- "$@" --time "$HOST_TIME";; esac\n'
            f'PATH={os.environ["PATH"]} exec restic "$@"\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def save(self, now: float) -> None:
        """A night of the host by a clock that says `now`."""
        said = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        self._monkeypatch.setenv("HOST_TIME", said)
        assert self._stage.run(now=now) == run.ALL_SAVED


def test_a_host_whose_clock_jumps_is_heard_of_and_loses_nothing(
    real_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, clock = time.time(), Clock(real_stage, monkeypatch)
    real_stage.part("alpha", "the data of two days ago")
    clock.save(now - 2 * DAY)
    assert now - real_stage.metrics()[SUCCESS] > OLD_SECONDS
    real_stage.part("alpha", "the data of the day that is not yet")
    clock.save(now + 2 * DAY)
    assert real_stage.metrics()[SUCCESS] - now > OLD_SECONDS
    real_stage.part("alpha", "the data of today")
    clock.save(now)
    assert real_stage.metrics()[SUCCESS] == now
    back, today, ahead = [one for one in real_stage.snapshots() if one.part]
    dated = [one.time - now for one in (back, today, ahead)]
    assert dated == pytest.approx([-2 * DAY, 0, 2 * DAY], abs=2)

    # What is restored and drilled is of today, for as long as the other one is in the future.
    for wanted in (now + 60, now + DAY):
        assert choose_for_drill(real_stage.snapshots(), HOST, wanted).snapshots == {"alpha": today}
        assert choose_to_restore(real_stage.snapshots(), "alpha", "latest", wanted) == today

    # At the store what is dated ahead, or long ago, makes nothing old.
    keys = real_stage.root / "keys"
    (keys / MARKER).write_text("store 1")
    (keys / HOST).symlink_to("repository")
    options = StoreOptions(
        instance="store", path=keys, identity="store 1", check_nights=1, keep_days=1,
        metrics_file=real_stage.root / "store.prom", state_file=real_stage.root / "store.json",
    )  # fmt: skip
    assert night(options) == 0
    assert {one.id for one in real_stage.snapshots() if one.part} == {back.id, today.id, ahead.id}
    newest = store_state.read(options.state_file).hosts[HOST].parts["alpha"].newest_good
    # The one that is dated ahead is of when it came, moments later.
    assert newest == pytest.approx(now, abs=60)
    content = (real_stage.restored(today.id) / "files/alpha.data").read_text()
    assert content == "the data of today"


def night(options: StoreOptions) -> int:
    return store_upkeep.once(options, [HOST], lambda *_: None, time.time())


def test_a_store_whose_clock_was_ahead_does_at_once_what_is_due() -> None:
    ahead = 1_000_000.0 + 2 * DAY
    times = Notes(
        tried=ahead, check_time=ahead, prune_time=ahead, copy_time=ahead, copy_check_time=ahead
    )
    state = State(ahead, ahead, {"app1": times, "app2": Notes(tried=5.0, copy_check_time=6.0)})
    state.begin(1_000_000.0)
    assert (state.last_run, state.last_success) == (1_000_000.0, 1_000_000.0)
    assert (times.tried, times.copy_check_time) == (None, None)
    assert times.check_time == times.prune_time == times.copy_time == 1_000_000.0
    assert state.hosts["app2"] == Notes(tried=5.0, copy_check_time=6.0)
