"""What is to be done about what a scan found: pure, without reading anything."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from lookout.watchdog.options import Rule
from lookout.watchdog.processes import Key

MEGABYTE = 1_000_000
Reason = Literal["memory", "never_validated", "validation_old"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class Watched:
    """A tree of processes that a rule watches, as one scan found it.

    Times are the watchdog's own clock (CLOCK_MONOTONIC), which nobody sets.
    """

    rule: Rule
    root: Key
    name: str
    since: float
    resident_bytes: int
    validated: float | None = None
    user: int = 0
    members: tuple[Key, ...] = field(default=(), compare=False)

    @property
    def limit_bytes(self) -> float:
        """The most that the tree may take."""
        limit = self.rule.memory_megabytes
        return float("inf") if limit is None else limit * MEGABYTE


@dataclass(frozen=True)
class Action:
    """A tree that has to be ended, and why, in words for people."""

    watched: Watched
    reason: Reason
    words: str


def near_limit(watched: Watched) -> bool:
    """Whether the exact memory has to be read.

    Resident memory counts what processes share once for each of them, so it is never less than the
    proportional one: below the limit it clears the tree, above it proves nothing.
    """
    return watched.resident_bytes > watched.limit_bytes


def decide(
    watched: Mapping[Key, Watched],
    proportional_bytes: Mapping[Key, int],
    now: float,
    validations_known: bool = True,
) -> Iterator[Action]:
    """Find trees that broke a condition of their rule, the worst reason of each.

    Without a validation directory that can be trusted nobody can validate: then nobody has to.
    """
    for key, tree in watched.items():
        exact = proportional_bytes.get(key)
        if exact is not None and exact > tree.limit_bytes:
            words = f"its {len(tree.members)} processes take {exact / MEGABYTE:.0f} MB, " + (
                f"{tree.rule.memory_megabytes} MB are allowed"
            )
            yield Action(tree, "memory", words)
        elif tree.rule.validation_required and validations_known:
            yield from _unvalidated(tree, now)


def _unvalidated(tree: Watched, now: float) -> Iterator[Action]:
    rule = tree.rule
    if tree.validated is None:
        age = now - tree.since
        if age > rule.first_validation_seconds:
            limit = rule.first_validation_seconds
            words = f"nobody validated it within {limit:g} s of its start ({age:.0f} s ago)"
            yield Action(tree, "never_validated", words)
    else:
        age = now - tree.validated
        if age > rule.validation_interval_seconds:
            limit = rule.validation_interval_seconds
            words = f"its last validation is {age:.0f} s old, {limit:g} s are allowed"
            yield Action(tree, "validation_old", words)


def in_turn(
    actions: Iterable[Action], since: Mapping[Key, float], begun: Counter[int]
) -> list[Action]:
    """Put actions in order: one of each user in turn, who waits longest first.

    There is a limit of kills a minute. `begun` are those of the last one by user, so that nobody
    uses up what is another's.
    """
    waiting: dict[int, list[Action]] = defaultdict(list)
    for action in sorted(actions, key=lambda one: since[one.watched.root]):
        waiting[action.watched.user].append(action)
    turns = [
        (begun[user] + place, since[action.watched.root], action)
        for user, mine in waiting.items()
        for place, action in enumerate(mine)
    ]
    return [action for *_, action in sorted(turns, key=lambda turn: turn[:2])]
