"""What people are told when the history cannot be written, and in which order things are told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookout.status import run_task, told
from lookout.status.options import StatusOptions
from lookout.status.records import Change, Run
from lookout.status.told import Memory, Told


class Sentry:
    """What is told, in its order, by whichever way."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str, **_: Any) -> None:
        self.said.append(f"report: {text}")

    def exception(self, error: BaseException, *_: Any) -> None:
        self.said.append(f"report: {type(error).__name__}")

    def flush(self, timeout_seconds: float) -> bool:
        self.said.append(f"flush: {timeout_seconds:g}")
        return True

    def tell(self, _: StatusOptions, change: Change) -> None:
        self.said.append("people: works" if change.ok else f"people: {change.message}")


Try = Callable[..., list[str]]


@pytest.fixture
def attempt(options: StatusOptions, database: Path, monkeypatch: pytest.MonkeyPatch) -> Try:
    """One run of the task, and what is said of it."""
    assert database.exists()

    def once(ok: bool, full: bool = False, name: str = "web") -> list[str]:
        sentry = Sentry()
        here = replace(options, database=Path("/dev/full/status.db")) if full else options
        done = Run(name, 1000.0, 0.1, ok, "" if ok else "gone")
        monkeypatch.setattr(run_task, "run", lambda *_: done)
        status = run_task.main(here, name, sentry, sentry.tell)  # type: ignore[arg-type]
        assert status == int(full)
        return [one for one in sentry.said if not one.startswith("flush")]

    return once


def test_people_come_first_then_the_report_which_may_take_its_time(
    options: StatusOptions, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.exists()
    monkeypatch.setattr(run_task, "run", lambda *_: Run("web", 1000.0, 0.1, False, "gone"))
    sentry = Sentry()
    run_task.main(options, "web", sentry, sentry.tell)  # type: ignore[arg-type]
    assert sentry.said == ["people: gone", "report: Website fails: gone", "flush: 45"]


def test_an_outage_is_told_once_while_the_disk_is_full(
    attempt: Try, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert attempt(True) == []
    first = attempt(False, full=True)
    assert first[:2] == ["people: gone", "report: Website fails: gone"]
    assert len(first) == 3, "the disk is said, too"
    assert attempt(False, full=True) == []
    assert attempt(True, full=True, name="database") == [], "the disk is said once for all tasks"
    assert attempt(True, full=True) == ["people: works", "report: Website works again"]
    levels = [one.levelname for one in caplog.records if "cannot be written" in one.message]
    assert levels == ["ERROR", "INFO", "INFO", "INFO"]
    assert attempt(True) == []
    assert len(attempt(True, full=True)) == 1, "another trouble is another one"


def test_what_was_told_meanwhile_is_not_told_by_the_history_again(attempt: Try) -> None:
    attempt(True)
    assert len(attempt(False, full=True)) == 3
    assert attempt(False) == [], "the history sees it begin only now"
    assert attempt(True, full=True)[0] == "people: works"
    assert attempt(False)[0] == "people: gone", "to the history it never ended"


def test_the_first_failure_after_a_boot_is_told_and_success_is_no_news(attempt: Try) -> None:
    assert len(attempt(True, full=True)) == 1, "the disk alone"
    assert attempt(False, full=True, name="database")[0] == "people: gone"


def test_a_boot_does_not_tell_again_what_the_history_knows(
    attempt: Try, options: StatusOptions
) -> None:
    assert len(attempt(False)) == 2
    (options.told_directory / "web.json").unlink()
    assert attempt(False) == []
    assert attempt(True) == ["people: works", "report: Website works again"]


def test_without_the_folder_the_history_says_what_changed(
    attempt: Try, options: StatusOptions
) -> None:
    options.told_directory.rmdir()
    assert [bool(attempt(ok)) for ok in (True, False, False, True, True)] == [
        False, True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"ok": true, "since": "x", "message": ""}'])
def test_a_torn_file_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "web.json").write_text(text, encoding="utf-8")
    assert Memory(tmp_path).of("web") is None


def test_what_cannot_be_kept_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(tmp_path)
    memory.keep(Run("web", 1.0, 0.1, True, "good"))
    assert memory.of("web") == Told(True, 1.0, "good")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(told, "write_atomically", full)
    memory.keep(Run("web", 2.0, 0.1, False, "gone"))
    assert memory.of("web") is None


def test_tasks_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    for name in ("web", "gone"):
        memory.keep(Run(name, 1.0, 0.1, True))
    assert memory.trouble()
    memory.forget({"web"})
    assert {file.name for file in tmp_path.iterdir()} == {"web.json", told.UNWRITABLE}


def test_how_long_it_lasted_is_never_less_than_nothing() -> None:
    change = told.change_of(Told(False, 900.0, "gone"), Run("web", 500.0, 0.1, True), None, False)
    assert change == Change("web", True, "gone", 0)
