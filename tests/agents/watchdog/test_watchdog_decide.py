"""Who has to be ended, and why."""

from __future__ import annotations

import dataclasses
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from watchdog_stage import rule

from lookout.watchdog.decide import Action, Watched, decide, in_turn, near_limit

KEY = (10, 1000)
SECONDS = st.floats(0, 1000)


def watched(since: float = 0, validated: float | None = None, **more: object) -> Watched:
    return Watched(
        rule=rule(validation_required=True, **more),
        root=KEY,
        name="firefox",
        since=since,
        resident_bytes=0,
        validated=validated,
        members=(KEY,),
    )


def actions(
    tree: Watched, now: float, proportional: int | None = None, known: bool = True
) -> list[Action]:
    exact = {} if proportional is None else {KEY: proportional}
    return list(decide({KEY: tree}, exact, now, known))


def reasons(*arguments: object, **more: object) -> list[str]:
    return [action.reason for action in actions(*arguments, **more)]  # type: ignore[arg-type]


def test_the_first_validation_has_180_seconds() -> None:
    assert reasons(watched(), 180) == []
    (action,) = actions(watched(), 181)
    assert action.reason == "never_validated"
    assert action.words == "nobody validated it within 180 s of its start (181 s ago)"


def test_each_further_one_too() -> None:
    assert reasons(watched(validated=100), 280) == []
    (action,) = actions(watched(validated=100), 281)
    assert action.reason == "validation_old"
    assert action.words == "its last validation is 181 s old, 180 s are allowed"


def test_memory_counts_once_it_is_past_the_limit() -> None:
    assert reasons(watched(), 10, 1_200_000_000) == []
    (action,) = actions(watched(), 10, 1_200_000_001)
    assert action.reason == "memory"
    assert action.words == "its 1 processes take 1200 MB, 1200 MB are allowed"


def test_memory_is_asked_before_the_validation() -> None:
    assert reasons(watched(), 500, 2_000_000_000) == ["memory"]


def test_without_a_directory_that_can_be_trusted_memory_alone_counts() -> None:
    assert reasons(watched(), 500, known=False) == []
    assert reasons(watched(), 500, 2_000_000_000, known=False) == ["memory"]


def test_no_limit_is_never_near() -> None:
    assert watched(memory_megabytes=None).limit_bytes == float("inf")
    assert not near_limit(dataclasses.replace(watched(memory_megabytes=None), resident_bytes=2**60))
    assert near_limit(dataclasses.replace(watched(), resident_bytes=1_200_000_001))


@given(since=SECONDS, after=SECONDS, waited=SECONDS, required=st.booleans())
def test_who_keeps_to_the_rule_is_left_alone(
    since: float, after: float, waited: float, required: bool
) -> None:
    """Whatever the times are: a kill for a missing validation means that one was missing."""
    validated = since + after
    now = validated + waited
    tree = dataclasses.replace(watched(since, validated), rule=rule(validation_required=required))
    kills = actions(tree, now)
    assert bool(kills) == (required and now - validated > 180)
    assert all(action.reason == "validation_old" for action in kills)


@given(since=SECONDS, waited=SECONDS, required=st.booleans(), megabytes=st.integers(1, 3000))
def test_who_was_never_validated(
    since: float, waited: float, required: bool, megabytes: int
) -> None:
    tree = dataclasses.replace(watched(since), rule=rule(validation_required=required))
    found = reasons(tree, since + waited, megabytes * 1_000_000)
    if megabytes > 1200:
        assert found == ["memory"]
    elif required and (since + waited) - since > 180:
        assert found == ["never_validated"]
    else:
        assert found == []


def test_users_take_turns_and_who_waits_longest_is_first() -> None:
    def one(pid: int, user: int) -> Action:
        return Action(Watched(rule(), (pid, 1), "firefox", 0, 0, user=user), "memory", "")

    flood, victim = [one(pid, 1001) for pid in range(10, 20)], one(30, 1000)
    since = {action.watched.root: float(action.watched.root[0]) for action in (*flood, victim)}
    ordered = in_turn([*reversed(flood), victim], since, Counter())
    assert ordered == [flood[0], victim, *flood[1:]]
    # All kills of the last minute were the flood's: the next one is the victim's.
    assert in_turn([*flood, victim], since, Counter({1001: 10}))[0] is victim
