"""The history: what is written, what is made of it, and what happens when the file breaks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.status import history, storage
from lookout.status.options import StatusOptions
from lookout.status.records import Run, add_heartbeat, add_run, close_gone, plain, prune

NOW = 1_790_000_000.0


def damage(path: Path) -> None:
    """Overwrite the pages that hold the tables, as a bad disk does."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    raw = bytearray(path.read_bytes())
    raw[4096 : len(raw)] = b"\xa5" * (len(raw) - 4096)
    path.write_bytes(raw)


def test_an_incident_lasts_from_the_first_failure_to_the_next_success(database: Path) -> None:
    changes = []
    with storage.writer(database) as connection:
        for number, ok in enumerate([True, False, False, True, True]):
            change = add_run(connection, Run("web", 600.0 * number, 0.1, ok, "" if ok else "gone"))
            changes.append(change and (change.ok, change.seconds))
    assert changes == [None, (False, 0.0), None, (True, 1200.0), None]
    with closing(storage.reader(database)) as connection:
        row = connection.execute("SELECT started, ended, runs, message FROM incidents").fetchone()
    assert tuple(row) == (600.0, 1800.0, 2, "gone")


@given(st.lists(st.booleans(), max_size=60))
def test_days_and_incidents_agree_with_the_runs(runs: list[bool]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        storage._prepare(connection)
        for number, ok in enumerate(runs):
            add_run(connection, Run("web", NOW + 3600.0 * number, 0.5, ok))
        days = connection.execute("SELECT sum(runs), sum(failed) FROM days").fetchone()
        assert (days[0] or 0, days[1] or 0) == (len(runs), runs.count(False))
        began = sum(not ok and (number == 0 or runs[number - 1]) for number, ok in enumerate(runs))
        assert connection.execute("SELECT count(*) FROM incidents").fetchone()[0] == began
        ongoing = connection.execute("SELECT count(*) FROM incidents WHERE ended IS NULL")
        assert ongoing.fetchone()[0] == (bool(runs) and not runs[-1])


def test_what_is_too_old_is_deleted_and_what_is_not_is_kept(past: Path) -> None:
    with storage.writer(past) as connection:
        assert prune(connection, NOW, 1) == 0
        # Two days later: 12 runs, one or two days, one incident, two reports
        assert prune(connection, NOW + 3 * 86_400, 1) in (16, 17)
        assert connection.execute("SELECT count(*) FROM runs").fetchone()[0] == 0


def test_incidents_of_tasks_that_are_no_more_end(database: Path) -> None:
    with storage.writer(database) as connection:
        add_run(connection, Run("gone", NOW, 1, False))
        add_run(connection, Run("web", NOW, 1, False))
        assert close_gone(connection, {"web", "other"}, NOW) == 1
        assert close_gone(connection, set(), NOW) == 1


def test_a_damaged_file_is_set_aside_and_the_next_write_succeeds(past: Path) -> None:
    damage(past)
    assert storage.check(past)
    aside = storage.set_aside_if_damaged(past)
    assert aside
    assert storage.damaged(past) == [aside]
    assert storage.set_aside_if_damaged(past) is None
    with storage.writer(past) as connection:
        add_run(connection, Run("web", NOW, 1, True))


@pytest.mark.parametrize("text", [b"no database", b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_history_is_replaced(database: Path, text: bytes) -> None:
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    database.write_bytes(text)
    storage.ensure(database)
    with storage.writer(database) as connection:
        add_heartbeat(connection, "monitoring", NOW)
    assert storage.check(database) == ""


def test_no_more_than_three_damaged_files_are_kept(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        monkeypatch.setattr("time.gmtime", lambda *_, n=number: (2026, 1, 1, 0, 0, n, 3, 1, 0))
        database.write_bytes(b"no database")
        storage.set_aside_if_damaged(database)
    assert [file.name[-3:] for file in storage.damaged(database)] == ["02Z", "03Z", "04Z"]


def test_a_history_of_a_later_version_is_left_alone(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {storage.VERSION + 1}")
    with pytest.raises(storage.Newer, match="upgrade it"):
        storage.ensure(database)
    assert storage.damaged(database) == []


def test_a_failed_transaction_leaves_nothing(database: Path) -> None:
    def fail() -> None:
        with storage.writer(database) as connection:
            add_run(connection, Run("web", NOW, 1, True))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with closing(storage.reader(database)) as connection:
        assert history.runs_of(connection, "web", NOW) == ()


def test_a_reader_cannot_write(database: Path) -> None:
    with closing(storage.reader(database)) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM runs")


@pytest.mark.parametrize(
    ("age_minutes", "ok", "state"),
    [
        (1, True, "ok"),
        (1, False, "failing"),
        (20, True, "ok"),
        (22, True, "unknown"),
        (-5, True, "ok"),
    ],
)
def test_a_task_without_a_run_has_no_state(age_minutes: float, ok: bool, state: str) -> None:
    last = Run("web", NOW - 60 * age_minutes, 1, ok)
    assert history.state_of(last, 10, 60, NOW) == state
    assert history.state_of(None, 10, 60, NOW) == "unknown"


def test_there_is_a_bar_for_each_day_with_and_without_runs(
    past: Path, options: StatusOptions
) -> None:
    with closing(storage.reader(past)) as connection:
        view = history.task_view(connection, options, "web", NOW)
        empty = history.task_view(connection, options, "database", NOW)
    assert len(view.days) == len(empty.days) == 90
    assert view.uptime == 0.75
    assert view.days[-1].state == "failing"
    assert empty.uptime is None
    assert {day.state for day in empty.days} == {"unknown"}


def test_a_run_that_lies_ahead_hides_no_failure(past: Path, options: StatusOptions) -> None:
    """The clock was a day ahead for one run and one incident."""
    with storage.writer(past) as connection:
        add_run(connection, Run("web", NOW + 86_400, 0.1, False, "ahead"))
        change = add_run(connection, Run("web", NOW + 86_460, 0.1, True, "ahead"))
        assert change
        add_run(connection, Run("web", NOW, 0.1, False, "gone"))
    with closing(storage.reader(past)) as connection:
        view = history.task_view(connection, options, "web", NOW)
        newest = history.runs_of(connection, "web", NOW, limit=1)
        later = history.runs_of(connection, "web", NOW + 86_460, limit=1)
    assert (view.state, view.last and view.last.message) == ("failing", "gone")
    assert newest[0].message == view.recent[-1].message == "gone"
    assert later[0].message == "ahead"
    with storage.writer(past) as connection:
        add_run(connection, Run("web", NOW + 10, 0.1, True))
        add_run(connection, Run("web", NOW + 20, 0.1, False, "gone"))
        change = add_run(connection, Run("web", NOW - 500, 0.1, True))
    assert change
    assert change.seconds == 0
    with closing(storage.reader(past)) as connection:
        shown = [one.message for one in history.incidents(connection, options, "web")]
    assert shown == ["gone", "gone", "ahead", "<b>gone</b>"]


@given(st.text())
def test_a_message_is_one_line_that_can_be_shown(text: str) -> None:
    shown = plain(text)
    assert len(shown) <= 500
    assert shown.isprintable()
