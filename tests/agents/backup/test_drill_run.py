"""A drill against a real repository: the good one passes, a bad one fails, and errors are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from drill_store import HOST, Content, Copies, options

from lookout.backup.drill import run, since
from lookout.backup.drill.options import DrillOptions
from lookout.backup.drill.part import Examiner
from lookout.backup.drill.repository import BadBackupError
from lookout.backup.drill.results import ERROR, FAILED, PASSED, HostResult
from lookout.backup.drill.run import Order
from lookout.backup.drill.scratch import Scratch
from lookout.backup.parts import Part
from lookout.backup.sources import CannotJudgeError, Facts, Source, SourceError


@dataclass
class Kept:
    """What is kept at the store, and what the drill is told."""

    copies: Copies
    options: DrillOptions


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A store with one good run of two parts."""
    copies = Copies(tmp_path / "copies")
    copies.record(copies.save("grafana"), copies.save("certbot"))
    monkeypatch.setattr(run, "Judged", copies.judged)
    judge_with(monkeypatch, Content())
    return Kept(copies, options(tmp_path))


def judge_with(monkeypatch: pytest.MonkeyPatch, *sources: Source) -> None:
    """What a part is made of, as the drill sees it."""

    def of(_part: Part) -> Sequence[Source]:
        return sources

    class Judging(Examiner):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options, sources=of)

    monkeypatch.setattr(run, "Examiner", Judging)


def drilled(kept: Kept, *parts: str) -> HostResult:
    """One drill; whatever it finds, nothing of it is left."""
    (found,) = run.drill(kept.options, Order((HOST,), parts)).hosts
    assert [*kept.options.scratch_dir.iterdir()] == []
    return found


def why(found: HostResult) -> str:
    told = [*found.failures, *found.errors]
    return "\n".join([*told, *(why for part in found.parts for why in part.failures + part.errors)])


def test_a_good_backup_passes_and_is_measured(kept: Kept) -> None:
    found = drilled(kept)
    assert found.result == PASSED, why(found)
    assert [part.part for part in found.parts] == ["certbot", "grafana"]
    assert found.restore_seconds is not None
    assert found.saved is not None
    assert found.restore_seconds > 0
    assert 0 <= time.time() - found.saved < 300
    for part in found.parts:
        assert part.bytes is not None
        assert part.bytes > 100
        assert part.judge_seconds is not None


def test_a_copy_whose_content_is_bad_fails(kept: Kept) -> None:
    kept.copies.record(kept.copies.save("grafana", damaged=True), kept.copies.save("certbot"))
    found = drilled(kept)
    assert (found.result, why(found)) == (FAILED, "content: data is not what was saved")
    assert [part.result for part in found.parts] == [PASSED, FAILED]


def test_the_manifest_has_to_be_that_of_the_host_and_the_part(kept: Kept) -> None:
    other = kept.copies.save("grafana", host="app2")
    kept.copies.record(other, kept.copies.save("certbot"))
    found = drilled(kept, "grafana")
    assert found.result == FAILED
    assert why(found) == "manifest.json is that of app2/grafana, not of app1/grafana"


def test_data_that_is_too_old_fails(kept: Kept) -> None:
    kept.copies.record(
        kept.copies.save("grafana", age_seconds=51 * 3600), kept.copies.save("certbot")
    )
    found = drilled(kept, "grafana")
    assert found.result == FAILED
    assert "older than 50 hours" in why(found)


def test_a_part_that_earlier_runs_had_must_not_be_lacking(kept: Kept) -> None:
    kept.copies.record(kept.copies.save("certbot"))
    found = drilled(kept)
    assert found.result == FAILED
    assert "has no good snapshot of it" in why(found)
    skipping = replace(kept, options=replace(kept.options, skip=(f"{HOST}/grafana",)))
    assert drilled(skipping).result == PASSED


def test_a_snapshot_that_cannot_be_restored_fails(kept: Kept) -> None:
    shutil.rmtree(kept.copies.root / kept.copies.snapshots[0].id)
    found = drilled(kept)
    assert (found.result, why(found)) == (FAILED, "a pack is missing")
    assert [part.result for part in found.parts] == [PASSED, FAILED]


def test_a_manifest_that_is_missing_or_torn_fails(kept: Kept) -> None:
    file = kept.copies.root / kept.copies.snapshots[0].id / "manifest.json"
    for text in ("{", '{"format": 1}', ""):
        file.write_text(text, encoding="ascii")
        assert "manifest.json cannot be read" in why(drilled(kept, "grafana"))
    file.unlink()
    assert drilled(kept, "grafana").result == FAILED


def test_the_manifest_and_the_part_have_to_agree(kept: Kept) -> None:
    file = kept.copies.root / kept.copies.snapshots[0].id / "manifest.json"
    told = json.loads(file.read_text(encoding="ascii"))
    file.write_text(json.dumps({**told, "facts": {"other": {}}}), encoding="ascii")
    found = drilled(kept, "grafana")
    assert found.result == FAILED
    assert "do not agree about content" in why(found)
    assert "do not agree about other" in why(found)


@pytest.mark.parametrize(
    ("wrong", "result"), [(BadBackupError("gone"), FAILED), (CannotJudgeError("down"), ERROR)]
)
def test_what_concerns_the_whole_repository_is_said_of_the_host(
    kept: Kept, wrong: Exception, result: str
) -> None:
    kept.copies.wrong = wrong
    found = drilled(kept)
    assert (found.result, why(found), found.parts) == (result, str(wrong), ())


def test_a_repository_that_is_not_whole_fails_and_a_part_is_tried_all_the_same(kept: Kept) -> None:
    kept.copies.damaged = True
    found = drilled(kept)
    assert (found.result, found.failures) == (FAILED, ("the repository is damaged",))
    assert drilled(kept, "grafana").result == PASSED


def test_one_host_that_is_out_of_reach_does_not_hide_another(kept: Kept) -> None:
    two = replace(kept.options, hosts=(HOST, "app2"))
    found = run.drill(two, Order((HOST, "app2")))
    assert [host.result for host in found.hosts] == [PASSED, FAILED]
    assert found.result == FAILED
    assert "no record of a run of app2" in found.hosts[1].failures[0]


@pytest.mark.parametrize(("hours_ago", "result"), [(5, ERROR), (50, FAILED)])
def test_a_new_host_has_had_no_night_yet(kept: Kept, hours_ago: float, result: str) -> None:
    kept.copies.snapshots.clear()
    since.save({HOST: time.time() - hours_ago * 3600}, kept.options.state_dir / since.FILE)
    assert drilled(kept).result == result


def test_no_room_is_an_error_before_anything_is_restored(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scratch, "free_bytes", lambda _self: 100 << 20)
    found = drilled(kept, "grafana")
    assert found.result == ERROR
    assert "259 MiB are needed" in why(found)
    assert found.parts[0].restore_seconds is None


class Strange(Content):
    """A source that fails in the way it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        yield "the first thing"
        if isinstance(self.error, FileNotFoundError):
            (folder / "gone").read_bytes()
        raise self.error


@pytest.mark.parametrize(
    ("error", "failures", "errors"),
    [
        (SourceError("bad"), 2, 0),
        (FileNotFoundError(), 2, 0),
        (OSError(28, "No space left on device"), 1, 1),
        (CannotJudgeError("there is no postgres 17 here"), 1, 1),
        (KeyError("sha256"), 1, 1),
    ],
)
def test_what_a_judge_raises_is_told_apart(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, error: Exception, failures: int, errors: int
) -> None:
    judge_with(monkeypatch, Strange(error))
    kept.copies.record(kept.copies.save("grafana"))
    (part,) = drilled(kept, "grafana").parts
    assert (len(part.failures), len(part.errors)) == (failures, errors), part


def test_a_part_that_the_host_has_no_more_is_told_and_not_judged(kept: Kept) -> None:
    kept.copies.record(kept.copies.save("certbot"), names=["certbot"])
    found = drilled(kept)
    assert (found.result, [part.part for part in found.parts]) == (PASSED, ["certbot"])
    (note,) = found.notes
    assert note.startswith("grafana: the run of ")
    assert "it is no longer part of the backup" in note
    asked = drilled(kept, "grafana")
    assert asked.result == ERROR
    assert "no longer part of the backup" in why(asked)
    # What it has and did not save is bad, as ever.
    kept.copies.record(names=["certbot"])
    assert drilled(kept).result == FAILED


@pytest.mark.parametrize(("hours", "result"), [(1, PASSED), (51, FAILED)])
def test_a_host_that_has_nothing_to_save_passes_while_it_says_so(
    kept: Kept, hours: float, result: str
) -> None:
    kept.copies.snapshots.clear()
    kept.copies.record(names=[], age_seconds=hours * 3600)
    found = drilled(kept)
    assert (found.result, found.parts, found.nothing) == (result, (), True), why(found)


CHECK = "name: grafana\npaths: [/srv/data]\ntimeout_seconds: 2\ncheck: [{check}]\n"


@pytest.mark.parametrize(
    ("check", "result"),
    [
        ("sh, -c, 'test -d {files} || exit 1'", FAILED),
        ("sh, -c, 'mkdir -p {files}'", PASSED),
        ("no-such-program", ERROR),
        ("sleep, '600'", ERROR),
        ("sh, -c, no-such-program", ERROR),
    ],
)
def test_the_check_of_this_hosts_own_part_is_run(kept: Kept, check: str, result: str) -> None:
    (kept.options.parts_dir / "grafana.yml").write_text(CHECK.replace("{check}", check), "ascii")
    assert drilled(kept, "grafana").result == PASSED, "another host's check is not run"
    own = replace(kept, options=replace(kept.options, instance=HOST))
    assert drilled(own, "grafana").result == result


class Slow(Content):
    """A judge that starts a server, which leaves its session, and waits."""

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        subprocess.Popen(["sleep", "600"], cwd=scratch, start_new_session=True)
        (folder.parents[3] / "judging").touch()
        time.sleep(600)
        yield "never"


def servers(kept: Kept) -> list[Path]:
    """Processes that work in the scratch place."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd").startswith(str(kept.options.scratch_dir)):
                found.append(entry)
        except OSError:
            continue
    return found


def test_the_time_limit_is_an_error_and_leaves_no_server(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge_with(monkeypatch, Slow())
    limited = replace(kept, options=replace(kept.options, timeout_hours=2 / 3600))
    found = drilled(limited)
    assert found.result == ERROR
    assert [part.result for part in found.parts] == [ERROR, ERROR]
    assert "took longer" in why(found)
    assert servers(kept) == []


def test_told_to_end_it_cleans_up_and_says_so(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    judge_with(monkeypatch, Slow())
    helper = subprocess.Popen(
        [sys.executable, "-c", END, str(os.getpid()), str(kept.options.state_dir / "judging")]
    )
    try:
        found = drilled(kept)
    finally:
        helper.wait(30)
    assert found.result == ERROR
    assert why(found).splitlines() == ["the drill was told to end (SIGTERM)"] * 2
    assert servers(kept) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


END = """
import os, sys, time
while not os.path.exists(sys.argv[2]):
    time.sleep(0.1)
time.sleep(0.3)
os.kill(int(sys.argv[1]), 15)
"""
