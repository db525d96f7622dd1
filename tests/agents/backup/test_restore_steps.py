"""Each step of a restore in its order, and what is left when one of them fails."""

from __future__ import annotations

import fcntl
import re
import time
from pathlib import Path

import pytest
from restore_stage import RestoreStage, host

from lookout.backup.restore import journal
from lookout.backup.restore.context import AS_BEFORE, NEITHER, UNTOUCHED

__all__ = ["host"]

ALPHA = ["fetch alpha", "judge alpha", "stop alpha.service", "put alpha", "placed alpha"]


def test_the_order_of_the_steps(host: RestoreStage) -> None:
    assert host.call("latest", "alpha", "--yes") == (0, "")
    assert host.book.lines == [*ALPHA, "start alpha.service"]
    assert (host.read("alpha"), host.read("beta")) == ("saved", "since")
    assert host.runs("alpha")


def test_all_copies_are_judged_before_anything_is_touched(host: RestoreStage) -> None:
    assert host.call("latest", "--yes") == (0, "")
    assert host.book.lines[:5] == [
        *("fetch alpha", "judge alpha", "fetch beta", "judge beta"),
        "stop alpha.service",
    ]
    assert (host.read("alpha"), host.read("beta")) == ("saved", "saved")


def test_what_was_there_is_kept_and_comes_back(host: RestoreStage) -> None:
    host.call("latest", "alpha", "--yes")
    (kept,) = host.kept()
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert kept.journal.finished
    assert not (host.root / "work/restore").exists()
    status, said = host.call("latest", "alpha", "--yes")
    assert status == UNTOUCHED
    assert "--undo" in said
    assert "--forget-aside" in said
    assert host.call("--undo") == (0, "")
    assert host.read("alpha") == "since"
    assert host.runs("alpha")
    assert host.kept() == []


def test_what_was_there_is_forgotten_when_that_is_wished(host: RestoreStage) -> None:
    host.call("latest", "--yes")
    assert host.call("--forget-aside") == (0, "")
    assert host.book.lines[-2:] == ["settle alpha", "settle beta"]
    assert not (host.root / "work/aside").exists()
    assert host.read("alpha") == "saved"
    assert host.call("latest", "--yes") == (0, "")


def test_a_unit_that_was_stopped_before_stays_so(host: RestoreStage) -> None:
    (host.root / "units/alpha.service").unlink()
    assert host.call("latest", "alpha", "--yes") == (0, "")
    assert host.read("alpha") == "saved"
    assert not host.runs("alpha")


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("fetch alpha", "fetch alpha failed"),
        ("judge alpha", "the copy of alpha is bad: files: it is damaged"),
        ("cannot alpha", "cannot be judged here.*--without-judging-the-copy"),
    ],
)
def test_what_fails_before_anything_is_touched(host: RestoreStage, step: str, says: str) -> None:
    host.book.fails[step] = 1
    status, said = host.call("latest", "--yes")
    assert status == UNTOUCHED
    assert "Nothing was touched" in said
    assert re.search(says, said)
    assert (host.read("alpha"), host.read("beta")) == ("since", "since")
    assert not [line for line in host.book.lines if line.split()[0] in ("stop", "put")]
    assert not (host.root / "work/restore").exists()
    assert host.call("latest", "--yes") == (0, "")


@pytest.mark.parametrize(
    "step",
    ["stop alpha.service", "put alpha", "placed alpha", "same alpha", "start alpha.service",
     "stays alpha.service"],
)  # fmt: skip
def test_what_fails_afterwards_goes_back(host: RestoreStage, step: str) -> None:
    host.book.fails[step] = 1
    status, said = host.call("latest", "--yes")
    assert status == AS_BEFORE
    assert said.startswith("alpha: ")
    assert "Now: alpha is as it was before; beta was not begun" in said
    assert (host.read("alpha"), host.read("beta")) == ("since", "since")
    assert host.runs("alpha")
    assert host.runs("beta")
    assert host.kept() == []
    assert host.call("latest", "--yes") == (0, "")
    assert host.read("alpha") == "saved"


def test_the_second_part_fails_and_the_first_stays_restored(host: RestoreStage) -> None:
    host.book.fails["placed beta"] = 1
    status, said = host.call("latest", "--yes")
    assert status == AS_BEFORE
    assert "alpha is restored (snapshot of 20" in said
    assert "beta is as it was before" in said
    assert (host.read("alpha"), host.read("beta")) == ("saved", "since")
    assert host.call("latest", "beta", "--yes") == (0, "")
    assert host.call("--undo") == (0, "")
    assert host.call("--undo") == (0, "")
    assert (host.read("alpha"), host.read("beta")) == ("since", "since")


@pytest.mark.parametrize("back", ["stop alpha.service", "undo alpha", "start alpha.service"])
def test_a_way_back_that_fails_says_so_and_can_be_tried_again(
    host: RestoreStage, back: str
) -> None:
    host.book.fails["stays alpha.service"] = 1
    calls = {"stop alpha.service": 2, "start alpha.service": 2}.get(back, 1)

    def break_down(step: str) -> None:
        if step == back and host.book.lines.count(step) == calls:
            host.book.fails[back] = 1

    host.book.before = break_down
    status, said = host.call("latest", "alpha", "--yes")
    assert status == NEITHER
    assert "it could not be brought back" in said
    assert "`lookout-restore --undo` tries again" in said
    status, said = host.call("latest", "beta", "--yes")
    assert status == UNTOUCHED
    assert "was interrupted: alpha is half brought back" in said
    assert host.call("--resume")[0] == NEITHER
    assert host.call("--undo") == (0, "")
    assert host.read("alpha") == "since"
    assert host.runs("alpha")


def test_the_check_judges_the_copy_and_what_is_live(host: RestoreStage, tmp_path: Path) -> None:
    place = f"{{files}}{host.live('alpha')}/data"
    host.part("alpha", check=f"[grep, -q, saved, '{place}']")
    assert host.call("latest", "alpha", "--yes") == (0, "")
    host.call("--undo")
    host.part("alpha", check=f"[grep, -q, else, '{place}']")
    status, said = host.call("latest", "alpha", "--yes")
    assert status == UNTOUCHED
    assert "the copy of alpha is bad: the check grep ended with 1" in said
    # A program that is gone says nothing against the copy.
    host.part("alpha", check="[/nonexistent/checker]")
    status, said = host.call("latest", "alpha", "--yes")
    assert status == UNTOUCHED
    assert "the copy of alpha cannot be judged here: its check `/nonexistent/checker` is" in said
    # The copy has no brother; what is live has.
    host.part("alpha", check=f"[sh, -c, 'test {{files}} != / || grep -q else {place}']")
    status, said = host.call("latest", "alpha", "--yes")
    assert status == AS_BEFORE
    assert host.read("alpha") == "since"


def test_a_damaged_copy_is_put_where_somebody_insists(host: RestoreStage) -> None:
    host.book.fails["judge alpha"] = 1
    assert host.call("latest", "alpha", "--yes", "--without-judging-the-copy") == (0, "")
    assert host.read("alpha") == "saved"
    assert "judge alpha" not in host.book.lines


def test_a_copy_without_a_manifest_is_for_a_look_alone(host: RestoreStage) -> None:
    (folder,) = (host.root / "archive").glob("*-alpha")
    (folder / "manifest.json").unlink()
    status, said = host.call("latest", "alpha", "--yes")
    assert status == UNTOUCHED
    assert "--to FOLDER" in said
    assert host.call("latest", "alpha", "--to", f"{host.root}/out") == (0, "")
    assert next((host.root / "out/alpha/files").rglob("data")).read_text() == "saved"
    assert host.call("latest", "alpha", "--to", f"{host.root}/out")[0] == UNTOUCHED


def test_one_file_alone(host: RestoreStage) -> None:
    (host.live("alpha") / "more").write_text("stays")
    file = host.live("alpha") / "data"
    assert host.call("latest", "alpha", "--yes", "--file", str(file)) == (0, "")
    assert host.read("alpha") == "saved"
    assert (host.live("alpha") / "more").read_text() == "stays"
    assert host.call("--undo") == (0, "")
    assert host.read("alpha") == "since"
    status, said = host.call("latest", "alpha", "--yes", "--file", "/etc/passwd")
    assert status == UNTOUCHED
    assert "/etc/passwd is not below its paths" in said


def test_what_only_one_of_them_has_is_left_alone_and_said(
    host: RestoreStage, capsys: pytest.CaptureFixture[str]
) -> None:
    more = host.root / "live/more"
    more.mkdir()
    (more / "own").write_text("own")
    host.part("alpha", paths=f"[{host.live('alpha')}, {more}]")
    assert host.call("latest", "alpha", "--dry-run") == (0, "")
    assert f"{more} is not in the snapshot: it stays as it is" in capsys.readouterr().out
    assert host.call("latest", "alpha", "--yes") == (0, "")
    assert (more / "own").read_text() == "own"
    host.call("--undo")
    host.part("alpha", paths=f"[{more}]")
    status, said = host.call("latest", "alpha", "--yes")
    assert (status, "nothing that this host knows" in said) == (UNTOUCHED, True)


def test_the_plan_comes_first_and_nobody_is_overrun(
    host: RestoreStage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.call("latest", "--dry-run") == (0, "")
    shown = capsys.readouterr().out
    for word in ("alpha: snapshot ", "1.0 h old", "stopped:  beta.service", str(host.live("beta"))):
        assert word in shown
    status, said = host.call("latest", "alpha")
    assert (status, "--yes" in said) == (UNTOUCHED, True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert host.call("latest", "alpha", ask=lambda _: "y")[0] == UNTOUCHED
    assert host.book.lines == []
    assert host.call("latest", "alpha", ask=lambda _: "yes") == (0, "")


def test_without_a_date_it_says_which_there_are(
    host: RestoreStage, capsys: pytest.CaptureFixture[str]
) -> None:
    host.save(time.time() - 60, host.part("alpha"), good=False)
    assert host.call() == (0, "")
    shown = capsys.readouterr().out
    assert shown.count("alpha: 20") == 1
    assert shown.count("Z") == 2


def test_a_date_without_a_snapshot_touches_nothing(host: RestoreStage) -> None:
    status, said = host.call("2020-01-01", "--yes")
    assert status == UNTOUCHED
    assert said.count("the nearest are 20") == 2
    assert host.book.lines == []


def test_an_unknown_part_names_those_of_the_host(host: RestoreStage) -> None:
    status, said = host.call("latest", "gamma", "--yes")
    assert (status, "it has alpha, beta" in said) == (UNTOUCHED, True)


def test_never_beside_a_backup_or_another_restore(host: RestoreStage) -> None:
    with host.options.lock_file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        status, said = host.call("latest", "--yes")
    assert (status, "is under way" in said) == (UNTOUCHED, True)
    assert host.book.lines == []


def test_no_room_is_said_before_anything_is_fetched(
    host: RestoreStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.backup.restore.plan._free", lambda _path: 1000)
    status, said = host.call("latest", "--yes")
    assert (status, "no room: the filesystem of " in said) == (UNTOUCHED, True)
    assert host.book.lines == []


def test_whoever_is_interrupted_goes_back(host: RestoreStage) -> None:
    def interrupt(step: str) -> None:
        if step == "placed alpha":
            raise KeyboardInterrupt

    host.book.before = interrupt
    status, said = host.call("latest", "alpha", "--yes")
    assert (status, "alpha: it was interrupted" in said) == (AS_BEFORE, True)
    assert host.read("alpha") == "since"
    assert host.runs("alpha")


def test_a_name_that_json_and_yaml_write_otherwise(host: RestoreStage) -> None:
    odd = host.part("odd", paths=f'["{host.root}/live/\U0001f511 of 1\u20442"]')
    odd.paths[0].write_text("saved")
    host.save(time.time() - 1800, odd)
    odd.paths[0].write_text("since")
    assert host.call("latest", "odd", "--yes") == (0, "")
    assert odd.paths[0].read_text() == "saved"
    assert host.call("--undo") == (0, "")
    assert odd.paths[0].read_text() == "since"


def test_a_damaged_journal_stops_all_that_comes(host: RestoreStage) -> None:
    host.call("latest", "--yes")
    (host.kept()[0].folder / "restore.json").write_text("{")
    status, said = host.call("latest", "--yes")
    assert (status, "restore.json: cannot be read" in said) == (UNTOUCHED, True)


def test_a_unit_that_nobody_can_tell_of_is_not_touched(host: RestoreStage) -> None:
    host.book.fails["ran alpha.service"] = 1
    status, said = host.call("latest", "alpha", "--yes")
    assert (status, "alpha was not begun" in said) == (AS_BEFORE, True)
    assert "stop alpha.service" not in host.book.lines
    assert host.runs("alpha")
    assert host.call("latest", "alpha", "--yes") == (0, "")


def test_a_full_disk_does_not_bar_the_way_back(
    host: RestoreStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def fill(step: str) -> None:
        if step == "placed alpha":
            monkeypatch.setitem(vars(journal), "write_atomically", full)

    host.book.before = fill
    status, said = host.call("latest", "--yes")
    assert (status, "No space left" in said) == (AS_BEFORE, True)
    assert host.read("alpha") == "since"
    assert host.runs("alpha")
    monkeypatch.undo()
    host.book.before = lambda _: None
    assert host.call("latest", "--yes") == (0, "")


def test_a_unit_that_was_ill_before_is_ill_afterwards(host: RestoreStage) -> None:
    host.book.fails["stays alpha.service"] = 2
    status, said = host.call("latest", "alpha", "--yes")
    assert (status, "as it was before" in said) == (AS_BEFORE, True)
    assert host.call("latest", "alpha", "--yes") == (0, "")
