"""Which snapshots may go: on any history, over sixty days of nights, and whatever is forged."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from lookout.backup.records import dropped, good_ids
from lookout.backup.restic import Snapshot
from lookout.backup.retention import (
    DAY_SECONDS,
    forgettable,
    newest_good,
    nights_after,
)

KEEP = 30
START = 1_700_000_000.0
# The upkeep is two hours and a half after the backups.
LATER = 0.1


def at(day: float) -> float:
    return START + day * DAY_SECONDS


def day_of(moment: float) -> int:
    return round((moment - START) / DAY_SECONDS)


def made(part: str, day: float, name: str = "") -> Snapshot:
    return Snapshot(name or f"{part}-{day}", at(day), "app1", (f"part={part}",))


def record(day: float, *good: str, name: str = "") -> Snapshot:
    tags = ("record", *(f"good={one}" for one in good))
    return Snapshot(name or f"record-{day}-{len(good)}", at(day), "app1", tags)


@dataclass
class Kept:
    """A repository at the store, and when each of its snapshots came."""

    left: list[Snapshot] = field(default_factory=list)
    arrivals: dict[str, float] = field(default_factory=dict)

    def add(self, day: float, *snapshots: Snapshot) -> None:
        self.left += snapshots
        self.arrivals |= {one.id: at(day) for one in snapshots}

    def save(self, day: float, *parts: str, dated: float | None = None) -> None:
        """A run in which all is well, with the date that its host believes in."""
        date = day if dated is None else dated
        new = [made(part, date, f"{part}-{day}-{date}") for part in parts]
        told = record(date + 0.01, *(one.id for one in new), name=f"record-{day}-{date}")
        self.add(day, *new, told)

    def upkeep(self, day: float) -> list[Snapshot]:
        gone = forgettable(self.left, self.arrivals, KEEP, at(day))
        self.left = [one for one in self.left if one not in gone]
        return gone

    def nights(self, first: int, last: int, *parts: str) -> None:
        for day in range(first, last):
            self.save(day, *parts)
            self.upkeep(day + LATER)

    def days(self, part: str) -> list[int]:
        return [day_of(one.time) for one in self.left if one.part == part]

    def good(self, part: str) -> list[Snapshot]:
        """The oldest first, by when the store got them."""
        good = good_ids(self.left)
        found = [one for one in self.left if one.part == part and one.id in good]
        return sorted(found, key=lambda one: self.arrivals[one.id])


# --- nights as they are ---


def test_sixty_nights() -> None:
    kept = Kept()
    for day in range(60):
        kept.nights(day, day + 1, "a", "b")
        expected = list(range(max(0, day - KEEP), day + 1))
        assert kept.days("a") == kept.days("b") == expected
        assert len([one for one in kept.left if not one.part]) == len(expected)


def test_sixty_nights_that_begin_and_end_when_they_want() -> None:
    """Within the two hours and a half before the upkeep, and it when its turn comes."""
    kept = Kept()
    for day in range(60):
        kept.save(day + (day * 7 % 10) / 100, "a")
        kept.upkeep(day + LATER + (day * 3 % 10) / 100)
        assert kept.days("a") == list(range(max(0, day - KEEP), day + 1))


def test_more_than_one_backup_a_day_takes_nothing_from_the_nights() -> None:
    kept = Kept()
    for day in range(60):
        kept.save(day - 0.5, "a")
        kept.save(day - 0.4, "a")
        kept.nights(day, day + 1, "a")
    assert sorted(set(kept.days("a"))) == list(range(29, 60))


def test_backups_that_stopped_weeks_ago_stay() -> None:
    kept = Kept()
    kept.nights(0, 40, "a")
    before = list(kept.left)
    for day in range(40, 400):
        kept.upkeep(day + LATER)
    assert kept.left == before
    # They come back: each night takes the place of one.
    kept.nights(400, 403, "a")
    assert kept.days("a") == [*range(12, 40), 400, 401, 402]
    kept.nights(403, 431, "a")
    assert kept.days("a") == list(range(400, 431))


def test_one_part_that_stopped_stays_while_the_other_goes_on() -> None:
    kept = Kept()
    kept.nights(0, 40, "a", "b")
    kept.nights(40, 100, "b")
    assert kept.days("a") == list(range(9, 40))
    assert kept.days("b") == list(range(69, 100))
    assert good_ids(kept.left) >= {one.id for one in kept.left if one.part == "a"}


def test_bad_ones_go_by_the_nights_of_the_good_ones() -> None:
    kept = Kept()
    kept.nights(0, 3, "a")
    kept.add(3, made("a", 3, "bad"), record(3.01, name="bad-record"))
    kept.nights(4, 34, "a")
    assert {"bad", "bad-record"} < {one.id for one in kept.left}
    kept.nights(34, 35, "a")
    assert not {"bad", "bad-record"} & {one.id for one in kept.left}


def test_what_is_not_ours_stays_and_what_was_never_good() -> None:
    kept = Kept()
    by_hand = Snapshot("by-hand", at(-300), "app1", ())
    kept.add(-300, by_hand, made("c", -300, "never-good"), made("a", -300, "lonely"))
    kept.nights(0, 60, "a")
    assert {"by-hand", "never-good"} < {one.id for one in kept.left}
    assert "lonely" not in {one.id for one in kept.left}


def test_of_a_host_that_has_nothing_to_save_the_last_records_are_kept() -> None:
    kept = Kept()
    kept.nights(0, 60)
    assert [day_of(one.time) for one in kept.left] == list(range(29, 60))
    assert kept.upkeep(200) == []


def test_of_a_copy_the_records_name_the_originals() -> None:
    kept = Kept()
    for day in range(60):
        kept.save(day, "a")
    copied = [
        Snapshot(f"copy-{one.id}", one.time, "app1", one.tags, original=one.id) for one in kept.left
    ]
    gone = forgettable(copied, kept.arrivals, KEEP, at(59 + LATER))
    assert [day_of(one.time) for one in gone if one.part] == list(range(29))


# --- clocks ---


def test_a_host_whose_clock_is_wrong_loses_nothing() -> None:
    kept = Kept()
    kept.nights(0, 40, "a")
    for day in range(40, 44):
        kept.save(day, "a", dated=day - 400)
        kept.save(day, "a", dated=day + 300)
        kept.upkeep(day + LATER)
    assert len(kept.days("a")) == 31 + 4, "what is dated ahead counts for nothing, and stays"
    assert len([day for day in kept.days("a") if day < 0]) == 4


def test_a_store_whose_clock_was_behind_believes_the_hosts() -> None:
    """31 nights and more that seem to have come before all others."""
    kept = Kept()
    kept.nights(0, 40, "a")
    for day in range(40, 80):
        new = made("a", day)
        kept.add(day - 365, new, record(day + 0.01, new.id))
        assert kept.upkeep(day - 365 + LATER) == []
    kept.nights(80, 81, "a")
    assert kept.days("a") == list(range(50, 81))


def test_a_store_whose_clock_was_ahead_keeps_what_came_meanwhile() -> None:
    kept = Kept()
    kept.nights(0, 40, "a")
    for day in range(40, 80):
        new = made("a", day)
        kept.add(day + 365, new, record(day + 0.01, new.id))
        kept.upkeep(day + 365 + LATER)
    came = kept.days("a")
    kept.nights(80, 120, "a")
    assert set(kept.days("a")) == set(came) | set(range(89, 120))


def test_a_store_that_was_built_anew_keeps_for_as_long_again() -> None:
    """Its disk does not say when anything came: all of it now, or nothing is known."""
    for arrivals in (at(40), None):
        kept = Kept()
        kept.nights(0, 40, "a")
        kept.arrivals = dict.fromkeys(kept.arrivals, arrivals) if arrivals else {}
        assert kept.upkeep(40 + LATER) == []
        kept.nights(41, 71, "a")
        assert kept.days("a") == [*range(9, 40), *range(41, 71)]


# --- whatever a host that was broken into adds ---


def test_seven_forged_ones_push_nothing_out_that_was_not_saved_for_weeks() -> None:
    kept = Kept()
    kept.nights(0, 40, "a")
    before = kept.good("a")
    for number in range(7):
        kept.save(90, "a", dated=90 - number)
    for number in range(100):
        kept.save(90, "a", dated=20 + number)
    # All of them are one night: one goes for it. And so for each night of his.
    kept.upkeep(90 + LATER)
    assert kept.good("a")[:30] == before[1:]
    for day in range(91, 120):
        kept.save(day, "a")
        kept.upkeep(day + LATER)
        assert [one for one in before if one in kept.left] == before[day - 89 :]
    assert before[-1] in kept.left, "thirty days later it is the last one"
    kept.save(120, "a")
    kept.upkeep(120 + LATER)
    assert before[-1] not in kept.left


def test_what_is_dated_ahead_is_no_backup_of_the_nights_to_come() -> None:
    kept = Kept()
    for ahead in range(30):
        kept.save(0, "a", dated=ahead)
    assert newest_good(kept.left, kept.arrivals, at(20)) == {"a": at(0)}
    kept.save(20, "a", dated=-5)
    assert newest_good(kept.left, kept.arrivals, at(20)) == {"a": at(0)}
    kept.save(21, "a")
    assert newest_good(kept.left, kept.arrivals, at(21)) == {"a": at(21)}


def test_thousands_that_he_adds_do_not_take_the_night() -> None:
    count, begun = 20_000, time.monotonic()
    ones = [made("a", number / 500, f"a-{number}") for number in range(count)]
    others = [made(f"b{number}", number / 500) for number in range(count)]
    told = [
        Snapshot(f"r-{one.id}", one.time, "app1", ("record", "whole", f"good={one.id}"))
        for one in ones
    ]
    arrivals = {one.id: one.time for one in [*ones, *others, *told]}
    assert len(forgettable([*ones, *told], arrivals, KEEP, at(40))) > count / 10
    assert len(dropped([*others, *told])) == count
    assert time.monotonic() - begun < 30, "ten minutes is too long for the store to wait"


@st.composite
def histories(draw: st.DrawFn) -> Kept:
    """Runs on any days, dated as their host believes, of which each part went well or badly."""
    kept = Kept()
    days = draw(st.lists(st.floats(-80, 0), min_size=1, max_size=60))
    for number, day in enumerate(sorted(days)):
        dated = day + draw(st.sampled_from([0, 0, 0, -500, 40]))
        good = []
        for part in ("a", "b"):
            outcome = draw(st.sampled_from(["good", "good", "bad", "none"]))
            if outcome != "none":
                kept.add(day, made(part, dated, f"{part}-{number}"))
            if outcome == "good":
                good.append(f"{part}-{number}")
        if draw(st.booleans()):
            kept.add(day, record(dated, *good, name=f"r-{number}"))
    return kept


def test_bad_ones_that_he_says_to_be_good_are_no_more_than_one_night() -> None:
    kept = Kept()
    kept.nights(0, 40, "a")
    bad = [made("a", day) for day in range(40, 80)]
    for day, one in enumerate(bad, 40):
        kept.add(day, one, record(day + 0.01))
    before = kept.good("a")
    kept.upkeep(80)
    assert kept.good("a") == before[-31:]
    kept.add(80, record(0, *(one.id for one in bad), name="forged"))
    kept.upkeep(80 + LATER)
    assert [one for one in before if one in kept.left] == before[-30:]


# Of histories, good or not
OLDER = [f"{part}-{number}" for part in ("a", "b") for number in range(60)]


@st.composite
def forged(draw: st.DrawFn) -> list[tuple[float, Snapshot]]:
    """Snapshots and records by the day on which they come, with any dates, and copies of each."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        came, dated = draw(st.floats(0, 60)), draw(st.floats(-100, 120))
        for copy in range(draw(st.integers(1, 9))):
            name = f"f-{number}-{copy}"
            step = copy * draw(st.sampled_from([0.0, 0.5, 1.0, 3.0]))
            part = draw(st.sampled_from(["a", "a", "b", "c"]))
            found.append((came, made(part, dated + step, name)))
            named = [name, *draw(st.lists(st.sampled_from(OLDER), max_size=9))]
            found.append((came, record(dated + step, *named, name=f"fr-{number}-{copy}")))
    return sorted(found, key=lambda one: one[0])


@given(histories(), forged(), st.lists(st.floats(0, 70), max_size=12))
def test_whatever_a_host_adds_what_was_good_stays_for_its_days(
    kept: Kept, added: list[tuple[float, Snapshot]], looks: list[float]
) -> None:
    """A good one that n good ones have come after stays for 30 - n more days of the store's clock.

    Of what the host dated wrongly the date may keep it longer; ahead, the store waits for it.
    """
    kept.upkeep(0)
    due: dict[str, float] = {}
    for part in ("a", "b"):
        good = [one for one in kept.good(part) if one.time <= at(0)]
        due |= {one.id: KEEP - n for n, one in enumerate(reversed(good))}
    for day in sorted(looks):
        while added and added[0][0] <= day:
            came, snapshot = added.pop(0)
            kept.add(came, snapshot)
        gone = {one.id for one in kept.upkeep(day)}
        assert not {id_ for id_ in gone if day < due.get(id_, 0)}


@given(histories(), forged(), st.floats(-100, 5000))
def test_nothing_goes_within_its_days_nor_with_fewer_nights_after_it(
    kept: Kept, added: list[tuple[float, Snapshot]], day: float
) -> None:
    """Whatever the store's clock says."""
    for came, snapshot in added:
        kept.add(came, snapshot)
    before, good = list(kept.left), {part: kept.good(part) for part in ("a", "b")}
    gone = kept.upkeep(day)
    assert len({one.id for one in gone}) == len(gone)
    for one in gone:
        assert one.time <= at(day)
        assert at(day) - kept.arrivals[one.id] >= KEEP * DAY_SECONDS
    for part, ones in good.items():
        dated = sorted(ones, key=lambda one: max(one.time, kept.arrivals[one.id]))
        assert not set(dated[-KEEP - 1 :]) & set(gone), "so many good ones stay in any case"
        if not ones:
            assert not [one for one in gone if one.part == part]
    # A record says which snapshots are good: without it they would look bad.
    assert good_ids(kept.left) >= good_ids(before) & {one.id for one in kept.left}
    assert kept.upkeep(day) == [], "a second look finds nothing"


@given(histories(), st.floats(0, 5000))
def test_what_has_enough_nights_after_it_goes(kept: Kept, day: float) -> None:
    kept.upkeep(day)
    after = nights_after(kept.left, kept.arrivals, at(day))
    assert [one for one in kept.left if one.part and after.get(one.id, 0) > KEEP] == []


@given(histories(), st.floats(-100, 100))
def test_the_newest_good_one_is_no_later_than_now(kept: Kept, day: float) -> None:
    for part, newest in newest_good(kept.left, kept.arrivals, at(day)).items():
        made = [min(one.time, kept.arrivals[one.id]) for one in kept.good(part)]
        assert newest == max(one for one in made if one <= at(day))
