"""Which snapshots may go: on any history, and over sixty days of nights."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lookout.backup.records import good_ids
from lookout.backup.restic import Snapshot
from lookout.backup.retention import DAY_SECONDS, Rule, forgettable, newest_good

RULE = Rule(keep_days=30, keep_last=7)
START = 1_700_000_000.0


def made(part: str, day: float, name: str = "") -> Snapshot:
    id_ = name or f"{part}-{day}"
    return Snapshot(id_, START + day * DAY_SECONDS, "app1", (f"part={part}",))


def record(day: float, *good: str) -> Snapshot:
    tags = ("record", *(f"good={one}" for one in good))
    return Snapshot(f"record-{day}-{len(good)}", START + day * DAY_SECONDS, "app1", tags)


def at(day: float) -> float:
    return START + day * DAY_SECONDS


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    """Runs on any days, in any order, of which each saved some parts well and some badly."""
    history = []
    days = draw(st.lists(st.integers(-200, 200), min_size=1, max_size=40))
    for number, day in enumerate(days):
        good = []
        for part in ("a", "b"):
            outcome = draw(st.sampled_from(["good", "bad", "none"]))
            if outcome != "none":
                history.append(made(part, day, f"{part}-{number}"))
            if outcome == "good":
                good.append(f"{part}-{number}")
        if draw(st.booleans()):
            history.append(
                Snapshot(f"r-{number}", at(day), "app1", ("record", *(f"good={i}" for i in good)))
            )
    return history


def good_of(history: Sequence[Snapshot], part: str, now: float) -> list[Snapshot]:
    good = good_ids(history)
    found = [s for s in history if s.part == part and s.id in good and s.time <= now]
    return sorted(found, key=lambda s: (s.time, s.id))


@given(histories(), st.integers(-250, 5000))
def test_what_counts_always_stays(history: list[Snapshot], day: int) -> None:
    now = at(day)
    going = forgettable(history, RULE, now)
    assert len({s.id for s in going}) == len(going)
    for part in ("a", "b"):
        good = good_of(history, part, now)
        gone = [s for s in going if s.part == part]
        assert not set(good[-RULE.keep_last :]) & set(gone), "the newest good ones stay"
        if not good:
            assert gone == [], "without a good one nothing goes"
        for one in gone:
            assert one.time < good[-1].time - RULE.keep_days * DAY_SECONDS
            assert one.time < now - RULE.keep_days * DAY_SECONDS
    # A record says which snapshots are good: without it they would look bad.
    staying = {s.id for s in history} - {s.id for s in going}
    assert all(not staying & set(s.good) for s in going)
    assert all(s.time <= now for s in going)


@given(histories(), st.integers(-250, 5000))
def test_what_is_older_than_the_window_goes(history: list[Snapshot], day: int) -> None:
    now = at(day)
    staying = set(history) - set(forgettable(history, RULE, now))
    for part, newest in newest_good(history, now).items():
        held = set(good_of(history, part, now)[-RULE.keep_last :])
        before = min(now, newest) - RULE.keep_days * DAY_SECONDS
        assert [s for s in staying if s.part == part and s.time < before and s not in held] == []


@given(histories(), st.lists(st.integers(-250, 5000), min_size=1, max_size=4))
def test_a_clock_that_jumps_never_takes_the_last_good_one(
    history: list[Snapshot], days: list[int]
) -> None:
    """Whatever the store's clock said in the nights before, one after the other."""
    left = list(history)
    for day in days:
        before = {part: good_of(left, part, at(day)) for part in ("a", "b")}
        gone = set(forgettable(left, RULE, at(day)))
        left = [s for s in left if s not in gone]
        assert forgettable(left, RULE, at(day)) == [], "a second look finds nothing"
        for part, good in before.items():
            assert good_of(left, part, at(day))[-RULE.keep_last :] == good[-RULE.keep_last :]


def nights(last: int, left: list[Snapshot], *, first: int = 0, saved: bool = True) -> None:
    """From day to day: a backup of two parts at 23:00, the upkeep at 01:30."""
    for day in range(first, last):
        if saved:
            new = [made("a", day), made("b", day)]
            left += [*new, record(day + 0.01, *(s.id for s in new))]
        gone = set(forgettable(left, RULE, at(day + 0.1)))
        left[:] = [s for s in left if s not in gone]


def days_of(left: Sequence[Snapshot], part: str) -> list[int]:
    return [round((s.time - START) / DAY_SECONDS) for s in left if s.part == part]


def test_sixty_days() -> None:
    left: list[Snapshot] = []
    for day in range(60):
        nights(day + 1, left, first=day)
        expected = list(range(max(0, day - 30), day + 1))
        assert days_of(left, "a") == days_of(left, "b") == expected
        assert len([s for s in left if not s.part]) == len(expected)


def test_backups_that_stopped_weeks_ago_stay() -> None:
    left: list[Snapshot] = []
    nights(40, left)
    there = list(left)
    nights(400, left, first=40, saved=False)
    assert left == there
    # They come back: a week later the long gap still holds a week of the old ones.
    nights(403, left, first=400)
    assert days_of(left, "a") == [36, 37, 38, 39, 400, 401, 402]
    nights(410, left, first=403)
    assert days_of(left, "a") == list(range(400, 410))


def test_one_part_that_stopped_stays_while_the_other_goes_on() -> None:
    left: list[Snapshot] = []
    nights(40, left)
    for day in range(40, 100):
        new = made("b", day)
        left += [new, record(day + 0.01, new.id)]
        gone = set(forgettable(left, RULE, at(day + 0.1)))
        left[:] = [s for s in left if s not in gone]
    assert days_of(left, "a") == list(range(9, 40))
    assert days_of(left, "b") == list(range(69, 100))
    assert {one for s in left for one in s.good} >= {s.id for s in left if s.part == "a"}


def test_a_client_whose_clock_was_ahead_for_two_days() -> None:
    left: list[Snapshot] = []
    nights(40, left)
    ahead = [made("a", 42 + n, f"ahead-{n}") for n in range(2)]
    left += [*ahead, record(43.5, *(s.id for s in ahead))]
    gone = forgettable(left, RULE, at(40.1))
    assert not {s.id for s in gone} & {"ahead-0", "ahead-1"}
    assert {s.time for s in gone} == set(), "what is dated ahead moves no window"


def test_bad_ones_go_by_the_window_of_the_good_ones() -> None:
    left: list[Snapshot] = []
    nights(3, left)
    left += [made("a", 3.5, "bad"), record(3.6)]
    nights(60, left, first=4)
    assert "bad" not in {s.id for s in left}
    assert [s for s in left if "record" in s.tags and not s.good] == []


def test_what_is_not_ours_stays() -> None:
    by_hand = Snapshot("by-hand", at(-300), "app1", ())
    left = [by_hand, made("a", -300, "lonely"), record(-300)]
    nights(60, left)
    assert by_hand in left
    assert "lonely" not in {s.id for s in left}


def test_of_a_host_that_has_nothing_to_save_the_last_records_are_kept() -> None:
    nights = [record(day) for day in range(60)]
    assert forgettable(nights, RULE, at(59.1)) == nights[:29]
    # Also weeks after the last one; what is dated ahead counts for nothing.
    assert forgettable([*nights, record(400)], RULE, at(200)) == nights[:29]
    # One part that was never good: nobody knows what its records are worth.
    assert forgettable([*nights, made("a", 3)], RULE, at(59.1)) == []


def test_of_a_copy_the_records_name_the_originals() -> None:
    copied = [
        Snapshot(f"copy-{day}", at(day), "app1", ("part=a",), original=f"a-{day}")
        for day in range(60)
    ]
    records = [record(day + 0.01, f"a-{day}") for day in range(60)]
    gone = forgettable([*copied, *records], RULE, at(59.1))
    assert [s.id for s in gone if s.part] == [f"copy-{day}" for day in range(29)]
