"""What is told: once for each change, not at every run, and not for what comes and goes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lookout.health.changes import (
    CALM_SECONDS,
    FAILING,
    FLAPPING,
    FLAPPING_CHANGES,
    OK,
    Entry,
    Message,
    changed,
    follow,
    follow_all,
    message,
)
from lookout.health.results import Result

RUN_SECONDS = 300


def a_run(entry: Entry | None, failing: bool, now: float) -> tuple[Entry, Message | None]:
    """The entry after a run whose message, if there is one, arrives."""
    entry = follow(entry, failing, now)
    said = message(Result("unit", "a.service", "broken" if failing else ""), entry, "app1")
    return (replace(entry, told=said.state) if said else entry), said


def tell_all(states: str) -> list[str]:
    """What is told of runs in which F fails and . does not, by its level."""
    entry, told = None, []
    for number, state in enumerate(states):
        entry, said = a_run(entry, state == "F", number * RUN_SECONDS)
        told.append(said.level if said else "")
    return told


def test_one_message_for_a_change_and_one_for_its_end() -> None:
    assert tell_all("..FFFF...") == ["", "", "error", "", "", "", "info", "", ""]


def test_what_fails_at_the_first_run_is_told_and_what_is_well_is_not() -> None:
    assert tell_all("F") == ["error"]
    assert tell_all(".") == [""]


def test_messages_say_host_check_and_what_is_wrong() -> None:
    entry, said = a_run(None, True, 0)
    assert said == Message("unit/a.service", "app1: unit a.service: broken", "error", FAILING)
    _, said = a_run(entry, False, RUN_SECONDS)
    assert said
    assert said.text == "app1: unit a.service is well again"


def test_what_comes_and_goes_is_told_as_such_and_then_left_alone() -> None:
    told = tell_all(".F.F.F.F.F")
    assert told == ["", "error", "info", "error", "warning", "", "", "", "", ""]


def test_it_is_told_when_it_is_calm_again() -> None:
    calm_runs = CALM_SECONDS // RUN_SECONDS
    for last, level in (("F", "error"), (".", "info")):
        told = tell_all(".F.F." + last + last * calm_runs)
        assert told[4] == "warning"
        assert [said for said in told[5:] if said] == [level]


def test_what_did_not_arrive_is_due_again() -> None:
    entry = follow(None, True, 0)
    failing = Result("unit", "a.service", "broken")
    for _ in range(3):
        assert message(failing, entry, "app1")
        entry = follow(entry, True, RUN_SECONDS)
    # It came and went while nobody could be told: there is nothing to say any more.
    assert message(Result("unit", "a.service"), follow(entry, False, 600), "app1") is None


def test_what_is_checked_no_longer_is_forgotten() -> None:
    former = follow_all({}, [Result("unit", "a.service", "broken"), Result("unit", "b.service")], 0)
    later = follow_all(former, [Result("unit", "b.service")], RUN_SECONDS)
    assert list(later) == ["unit/b.service"]
    assert changed({}, former) == ["unit/a.service"]
    assert changed(former, later) == []


@given(st.lists(st.booleans(), max_size=80))
def test_a_message_is_never_told_twice_in_a_row(runs: list[bool]) -> None:
    entry: Entry | None = None
    states = [OK]
    for number, failing in enumerate(runs):
        entry, said = a_run(entry, failing, number * RUN_SECONDS)
        assert entry.told == entry.state, "after each run people know how it is"
        states += [said.state] if said else []
    assert all(one != next_one for one, next_one in pairwise(states))
    # However often it changes: the first ones, that it flaps, and how it is once it is calm.
    hours = len(runs) * RUN_SECONDS / 3600
    assert len(states) - 1 <= (hours + 1) * FLAPPING_CHANGES
    assert set(states) <= {OK, FAILING, FLAPPING}
