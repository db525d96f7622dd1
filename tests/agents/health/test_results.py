"""Checks side by side: none waits for another, and each gets its verdict."""

from __future__ import annotations

import threading
import time

import pytest

from lookout.health.results import Check, CheckError, Result, run_all


def check(name: str, limit_seconds: float = 5, wait: threading.Event | None = None) -> Check:
    def judge() -> tuple[Result, ...]:
        if wait:
            wait.wait(20)
        return (Result("x", name),)

    return Check((Result("x", name, alert=False),), limit_seconds, judge)


def test_verdicts_come_in_the_checks_order() -> None:
    names = [f"n{number}" for number in range(20)]
    assert [result.name for result in run_all([check(n) for n in names], 4)] == names
    assert run_all([], 4) == ()


def test_one_that_hangs_gives_its_place_back() -> None:
    forever = threading.Event()
    checks = [check("a", 0.1, forever), check("b", 0.2, forever), check("c"), check("d")]
    started = time.monotonic()
    a, b, c, d = run_all(checks, 2)
    assert time.monotonic() - started < 3
    forever.set()
    assert (a.problem, b.problem) == ("no verdict within 0.1 s", "no verdict within 0.2 s")
    assert not a.alert, "as its subject"
    assert [result.failing for result in (c, d)] == [False, False]


def test_no_more_than_allowed_run_at_once() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def judge() -> tuple[Result, ...]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return ()

    run_all([Check((), 5, judge) for _ in range(12)], 3)
    assert most == 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CheckError("systemd is away"), "systemd is away"),
        (KeyError("x"), "the check itself failed: KeyError: 'x'"),
    ],
)
def test_one_that_cannot_judge_fails_with_all_its_subjects(error: Exception, said: str) -> None:
    def judge() -> tuple[Result, ...]:
        raise error

    subjects = (Result("unit", "a.service"), Result("unit", "b.service"))
    results = run_all([Check(subjects, 5, judge), check("c")], 4)
    assert [result.problem for result in results] == [said, said, ""]
