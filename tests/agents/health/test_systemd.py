"""Units and timers, from what systemctl shows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.health import systemd
from lookout.health.systemd import Properties, Schedule, moment

NOW = 1_795_643_543.0  # Wed 2026-11-25 21:52:23 UTC
HOUR = 3600.0
ACTIVE = {"Id": "a.service", "LoadState": "loaded", "ActiveState": "active",
          "SubState": "running", "Result": "success"}  # fmt: skip
TIMER = {"Id": "a.timer", "LoadState": "loaded", "ActiveState": "active", "SubState": "waiting",
         "Result": "success", "Unit": "a.service",
         "LastTriggerUSec": "Wed 2026-11-25 21:00:00 UTC",
         "NextElapseUSecRealtime": "Wed 2026-11-25 22:00:00 UTC",
         "NextElapseUSecMonotonic": "0",
         "ActiveEnterTimestamp": "Wed 2026-11-25 12:00:00 UTC"}  # fmt: skip
IDLE = {**ACTIVE, "ActiveState": "inactive", "SubState": "dead"}


def timer_problem(
    changed: Properties, max_age_hours: float | None = None, service: Properties = IDLE
) -> str:
    schedule = Schedule("a.timer", max_age_hours)
    return systemd.judge_timer(schedule, {**TIMER, **changed}, service, NOW)[0].problem


def test_blocks_are_split() -> None:
    text = "Id=a.service\nActiveState=active\n\nId=b.service\nActiveState=failed\nX=a=b\n"
    assert systemd.parse(text) == [
        {"Id": "a.service", "ActiveState": "active"},
        {"Id": "b.service", "ActiveState": "failed", "X": "a=b"},
    ]
    assert systemd.parse("") == []


@given(st.text())
def test_whatever_systemctl_prints_is_split(text: str) -> None:
    assert all(isinstance(unit, dict) for unit in systemd.parse(text))


@given(st.text())
def test_a_time_is_a_time_or_nothing(text: str) -> None:
    assert moment(text) is None or "UTC" in text


def test_times_are_read() -> None:
    assert moment("Wed 2026-11-25 21:52:23 UTC") == NOW
    assert moment("n/a") is None
    assert moment("") is None


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, ""),
        ({"ActiveState": "reloading"}, ""),
        ({"SubState": "exited"}, ""),
        ({"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"},
         "it is not active: failed (failed), exit-code"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "it is not active: inactive (dead)"),
        ({"ActiveState": "activating", "SubState": "auto-restart"},
         "it is not active: activating (auto-restart)"),
        ({"LoadState": "masked"}, "it is not active: it is masked"),
        ({"LoadState": "not-found"}, "it is not active: there is no such unit"),
    ],
)  # fmt: skip
def test_units(changed: Properties, problem: str) -> None:
    assert systemd.judge_unit("a.service", {**ACTIVE, **changed}).problem == problem


def test_a_timer_that_runs() -> None:
    timer, service = systemd.judge_timer(Schedule("a.timer", 1), TIMER, IDLE, NOW)
    assert not timer.failing
    assert timer.detail == "ran 52 min ago"
    assert (service.key, service.failing) == ("timer_service/a.service", False)


def test_a_timer_that_waits_for_its_first_run() -> None:
    never = {"LastTriggerUSec": ""}
    assert timer_problem(never) == ""
    assert "has never run" in timer_problem(never, 9)
    assert timer_problem(never, 11) == ""


def test_a_timer_whose_last_run_is_too_long_ago() -> None:
    said = timer_problem({}, 0.5)
    assert said == "its last run was 52 min ago, the limit is 0.5 h"


def test_a_timer_that_missed_its_run() -> None:
    late = {"NextElapseUSecRealtime": "Wed 2026-11-25 20:52:23 UTC"}
    assert timer_problem(late) == "its run of 1.0 h ago did not take place"
    assert timer_problem(late, service=ACTIVE) == "", "it runs, longer than its interval"


def test_a_timer_without_a_next_run() -> None:
    none = {"NextElapseUSecRealtime": "", "NextElapseUSecMonotonic": "infinity"}
    assert timer_problem(none) == "it has no next run"
    assert timer_problem({**none, "NextElapseUSecMonotonic": "1h 2min"}) == ""
    assert timer_problem(none, service=ACTIVE) == "", "it is counted from the end of this run"


def test_a_timer_that_is_stopped_or_masked() -> None:
    assert "does not run: it is masked" in timer_problem({"LoadState": "masked"})
    stopped = timer_problem({"ActiveState": "inactive", "SubState": "dead"})
    assert stopped == "it does not run: inactive (dead)"


def test_a_timer_whose_service_failed() -> None:
    failed = {**IDLE, "ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}
    timer, service = systemd.judge_timer(Schedule("a.timer"), TIMER, failed, NOW)
    assert not timer.failing
    assert service.problem == "its last run failed: failed (failed), exit-code"


def test_all_are_asked_about_at_once() -> None:
    asked: list[list[str]] = []

    def ask(units: Sequence[str]) -> list[Properties]:
        asked.append(list(units))
        kinds = {"a.service": ACTIVE, "b.service": IDLE, "a.timer": TIMER}
        return [kinds.get(unit, {"LoadState": "not-found", "Unit": ""}) for unit in units]

    results = systemd.judge(
        ["a.service", "b.service"], [Schedule("a.timer"), Schedule("gone.timer")], ask, NOW
    )
    assert asked == [["a.service", "b.service", "a.timer", "gone.timer"], ["a.service"]]
    assert {result.key: result.failing for result in results} == {
        "unit/a.service": False,
        "unit/b.service": True,
        "timer/a.timer": False,
        "timer_service/a.service": False,
        "timer/gone.timer": True,
    }
