"""A restore that is ended by kill -9 or Ctrl-C, at each moment around each of its steps."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from restore_stage import RestoreStage, prepared

from lookout.backup.restore import journal
from lookout.backup.restore.context import AS_BEFORE, NEITHER, UNTOUCHED
from lookout.kit.files import write_atomically

# Each step of two parts, and the moments before and after each time that one is written down
MOMENTS = 30


def killed(host: RestoreStage, moment: int, *argv: str) -> bool:
    """Call it in a process that kills itself at a moment; whether it came to that."""
    child = os.fork()
    if child == 0:
        left = [moment]

        def pass_by(*_: object) -> None:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        def watched(*arguments: Any) -> None:
            pass_by()
            write_atomically(*arguments)
            pass_by()

        vars(journal)["write_atomically"] = watched
        host.book.before = pass_by
        status = 1
        try:
            status = host.call(*argv)[0]
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def interrupted(host: RestoreStage, moment: int, *argv: str) -> tuple[int, str]:
    """Call it, and send it one real SIGINT at a moment; exit status and what it said."""
    left = [moment]

    def pass_by(*_: object) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        left[0] -= 1

    def watched(*arguments: Any) -> None:
        pass_by()
        write_atomically(*arguments)
        pass_by()

    host.book.before = pass_by
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write_atomically", watched)
        status, said = host.call(*argv)
    host.book.before = lambda _step: None
    return status, said


def state(host: RestoreStage) -> tuple[str, str, bool, bool]:
    return host.read("alpha"), host.read("beta"), host.runs("alpha"), host.runs("beta")


def test_these_are_all_moments(tmp_path: Path) -> None:
    assert not killed(prepared(tmp_path), MOMENTS, "latest", "--yes")


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_the_way_back_and_the_way_on(tmp_path: Path, moment: int) -> None:
    for way, data in (("--undo", "since"), ("--resume", "saved")):
        (tmp_path / way).mkdir()
        host = prepared(tmp_path / way)
        assert killed(host, moment, "latest", "--yes")
        touched = [kept for kept in host.kept() if kept.journal.touched]
        unfinished = [kept for kept in touched if not kept.journal.finished]
        if unfinished:
            status, said = host.call("latest", "--yes")
            assert status == 1
            assert "was interrupted: alpha " in said
            assert "--resume" in said
            assert "--undo" in said
            assert host.call(way) == (0, "")
            assert state(host) == (data, data, True, True)
        elif touched:
            assert state(host) == ("saved", "saved", True, True)
        else:
            assert state(host) == ("since", "since", True, True)
            assert host.call("latest", "--yes") == (0, "")
            assert state(host) == ("saved", "saved", True, True)
        assert not (host.root / "work/restore").exists() or not unfinished


@pytest.mark.parametrize("moment", range(0, 20, 2))
def test_the_way_back_is_killed_as_well(tmp_path: Path, moment: int) -> None:
    host = prepared(tmp_path)
    assert killed(host, 18, "latest", "--yes")
    killed(host, moment, "--undo")
    if host.kept():
        status, said = host.call("latest", "--yes")
        if status:
            assert "--undo" in said
            assert host.call("--undo") == (0, "")
            assert state(host) == ("since", "since", True, True)
    else:
        assert state(host) == ("since", "since", True, True)


def test_the_way_back_from_one_that_had_ended_is_killed(tmp_path: Path) -> None:
    host = prepared(tmp_path)
    assert host.call("latest", "--yes") == (0, "")
    # Written down as on its way back, and what was there before is not all in its place.
    assert killed(host, 3, "--undo")
    assert journal.half_restored(host.root / "work/aside") == ["beta"]
    for way in (("latest", "--yes"), ("--forget-aside",)):
        status, said = host.call(*way)
        assert status == 1, way
        assert "--undo" in said
    assert host.call("--undo") == (0, "")
    assert state(host) == ("since", "since", True, True)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_whoever_interrupts_is_told_what_is_now_and_nothing_is_half_done(
    tmp_path: Path, moment: int
) -> None:
    host = prepared(tmp_path)
    status, said = interrupted(host, moment, "latest", "--yes")
    assert not (tmp_path / "work/restore").exists() or "--resume" in said
    if "nothing was touched" in said:
        assert (status, host.kept()) == (UNTOUCHED, [])
        assert state(host) == ("since", "since", True, True)
    elif "--resume" in said:
        assert status == NEITHER
        assert said.startswith("interrupted. Now: alpha ")
        assert host.call("--undo") == (0, "")
        assert state(host) == ("since", "since", True, True)
    elif status:
        assert status == AS_BEFORE
        first = "saved" if "alpha is restored" in said else "since"
        assert state(host) == (first, "since", True, True)
        assert ("--undo" in said) == (first == "saved") == bool(host.kept())
    else:
        # It was over.
        assert state(host) == ("saved", "saved", True, True)


@pytest.mark.parametrize("moment", range(12))
def test_whoever_interrupts_the_way_back_can_go_on_with_it(tmp_path: Path, moment: int) -> None:
    host = prepared(tmp_path)
    assert host.call("latest", "--yes") == (0, "")
    status, said = interrupted(host, moment, "--undo")
    if status:
        assert (status, "`lookout-restore --undo` goes on with it" in said) == (NEITHER, True)
        assert host.call("--undo") == (0, "")
    assert state(host) == ("since", "since", True, True)
    assert host.kept() == []
