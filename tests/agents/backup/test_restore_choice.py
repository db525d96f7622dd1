"""Which snapshot a date means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lookout.backup.restic import Snapshot
from lookout.backup.restore.choice import ChoiceError, choose, dates, moment, shown

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


def at(day: int, hour: int = 23, second: float = 7.5, month: int = 11) -> float:
    return datetime(2026, month, day, hour, tzinfo=UTC).timestamp() + second


def run(when: float, *parts: str, bad: str = "") -> list[Snapshot]:
    """The snapshots of one run of the backup, of which one may be no good."""
    made = [Snapshot(f"{part}-{when}", when, "app1", (f"part={part}",)) for part in parts]
    good = tuple(f"good={one.id}" for one in made if one.part != bad)
    return [*made, Snapshot(f"record-{when}", when + 60, "app1", ("record", *good))]


WEEK = [one for day in range(19, 26) for one in run(at(day), "alpha", "beta")]


@pytest.mark.parametrize(
    ("date", "day"),
    [
        ("latest", 25),
        ("2026-11-20", 20),
        # The zone of a day is UTC's, whatever the host's is.
        ("2026-11-26", 25),
        ("2026-11-20T23:00:07Z", 20),
        ("2026-11-20 23:00", 20),
        ("2026-11-20T22:59:59Z", 19),
        ("2026-11-21T00:00:07+01:00", 20),
        ("2026-11-21T00:00:06+01:00", 19),
        ("2026-11-20T23:00:07.4Z", 19),
        ("2026-11-20T23:00:07.6Z", 20),
    ],
)
def test_the_newest_that_is_not_younger_than_the_date(date: str, day: int) -> None:
    assert choose(WEEK, "alpha", date, NOW).time == at(day)


def test_what_is_shown_is_taken() -> None:
    for snapshot in WEEK[::3]:
        assert choose(WEEK, "alpha", shown(snapshot.time), NOW) == snapshot


@pytest.mark.parametrize("date", ["", "yesterday", "2026-13-01", "20.11.2026", "2026-11-20T25:00Z"])
def test_what_is_no_date_is_refused_with_what_is_one(date: str) -> None:
    with pytest.raises(ChoiceError, match=r"no date"):
        moment(date, NOW)


def test_a_snapshot_that_no_run_calls_good_is_passed_over() -> None:
    snapshots = [*WEEK, *run(at(26, 2), "alpha", "beta", bad="alpha")]
    assert choose(snapshots, "alpha", "latest", NOW).time == at(25)
    assert choose(snapshots, "beta", "latest", NOW).time == at(26, 2)


def test_a_run_that_died_before_its_record_is_passed_over() -> None:
    snapshots = [*WEEK, *run(at(26, 2), "alpha")[:1]]
    assert choose(snapshots, "alpha", "latest", NOW).time == at(25)


def test_what_is_dated_in_the_future_is_not_the_latest_and_can_be_named() -> None:
    snapshots = [*WEEK, *run(at(28), "alpha")]
    assert choose(snapshots, "alpha", "latest", NOW).time == at(25)
    assert choose(snapshots, "alpha", "2026-11-28", NOW).time == at(28)


def test_a_date_before_all_of_them_names_the_nearest() -> None:
    with pytest.raises(ChoiceError) as caught:
        choose(WEEK, "alpha", "2026-11-01", NOW)
    said = str(caught.value)
    assert "alpha: there is no good snapshot at or before 2026-11-02T00:00:00Z" in said
    assert "nearest are 2026-11-19T23:00:07Z" in said
    assert said.endswith("and 2 newer ones")


def test_a_part_with_bad_ones_alone_says_so() -> None:
    snapshots = run(at(20), "alpha", bad="alpha")
    with pytest.raises(ChoiceError, match=r"no snapshot is good.*2026-11-20T23:00:07Z"):
        choose(snapshots, "alpha", "latest", NOW)


def test_an_unknown_part_names_those_that_there_are() -> None:
    with pytest.raises(ChoiceError, match=r"parts with a good one: alpha, beta"):
        choose(WEEK, "gamma", "latest", NOW)


def test_all_dates_of_each_part() -> None:
    found = dates(WEEK)
    assert list(found) == ["alpha", "beta"]
    assert found["beta"] == [at(day) for day in range(19, 26)]
