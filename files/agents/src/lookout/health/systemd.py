"""Units that must be active, and timers that must run: asked of systemd, all in one call."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lookout.health.results import CheckError, Result

Properties = dict[str, str]
# Given names of units, their properties in the same order
Show = Callable[[Sequence[str]], list[Properties]]

PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Result", "Unit"),
    *("LastTriggerUSec", "NextElapseUSecRealtime", "NextElapseUSecMonotonic"),
    "ActiveEnterTimestamp",
)
# systemd starts what is due within AccuracySec, a minute; a host that wakes up may be busy.
OVERDUE_SECONDS = 900


def parse(text: str) -> list[Properties]:
    """Split what `systemctl show` prints: a block a unit, an empty line between two."""
    return [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in text.split("\n\n")
        if block.strip()
    ]


def moment(text: str) -> float | None:
    """The seconds since 1970 of a time as `--timestamp=utc` prints it; None where there is none."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def show(units: Sequence[str], limit_seconds: float) -> list[Properties]:
    """Ask systemd about the units."""
    argv = ["systemctl", "show", "--no-pager", "--timestamp=utc",
            f"--property={','.join(PROPERTIES)}", "--", *units]  # fmt: skip
    try:
        asked = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=limit_seconds,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"systemctl did not answer within {limit_seconds:g} s") from error
    if asked.returncode != 0:
        raise CheckError(f"systemctl: {asked.stderr.strip()}")
    shown = parse(asked.stdout)
    if len(shown) != len(units):
        raise CheckError(f"systemctl told of {len(shown)} units when asked about {len(units)}")
    return shown


def _state(unit: Properties) -> str:
    """Why the unit cannot be what it should be, or what state it is in."""
    load = unit.get("LoadState", "")
    if load != "loaded":
        return {"not-found": "there is no such unit", "masked": "it is masked"}.get(load, load)
    states = f"{unit.get('ActiveState')} ({unit.get('SubState')})"
    result = unit.get("Result", "success")
    return states if result in ("", "success") else f"{states}, {result}"


def judge_unit(name: str, unit: Properties) -> Result:
    """Judge a unit that must be active."""
    well = unit.get("LoadState") == "loaded" and unit.get("ActiveState") in ("active", "reloading")
    state = _state(unit)
    return Result("unit", name, "" if well else f"it is not active: {state}", state)


@dataclass(frozen=True)
class Schedule:
    """A timer, and how long ago its last run may be; None leaves that to the timer itself."""

    name: str
    max_age_hours: float | None = None


def _missed(timer: Properties, service: Properties, schedule: Schedule, now: float) -> str:
    """Why a timer that is active has not run as it should; empty when it has."""
    last = moment(timer.get("LastTriggerUSec", ""))
    upcoming = moment(timer.get("NextElapseUSecRealtime", ""))
    monotonic = timer.get("NextElapseUSecMonotonic", "")
    runs = service.get("ActiveState") in ("active", "activating", "reloading")
    if upcoming is not None and now - upcoming > OVERDUE_SECONDS and not runs:
        return f"its run of {_ago(now - upcoming)} ago did not take place"
    if upcoming is None and monotonic in ("", "0", "infinity") and not runs:
        return "it has no next run"
    if schedule.max_age_hours is None:
        return ""
    since = last if last is not None else moment(timer.get("ActiveEnterTimestamp", ""))
    if since is None or now - since <= schedule.max_age_hours * 3600:
        return ""
    limit = f"the limit is {schedule.max_age_hours:g} h"
    if last is None:
        return f"it was started {_ago(now - since)} ago and has never run, {limit}"
    return f"its last run was {_ago(now - since)} ago, {limit}"


def _ago(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def judge_timer(
    schedule: Schedule, timer: Properties, service: Properties, now: float
) -> tuple[Result, ...]:
    """Judge a timer, and whether the last run of its service succeeded."""
    if timer.get("LoadState") != "loaded" or timer.get("ActiveState") != "active":
        problem = f"it does not run: {_state(timer)}"
    else:
        problem = _missed(timer, service, schedule, now)
    last = moment(timer.get("LastTriggerUSec", ""))
    detail = "has not run yet" if last is None else f"ran {_ago(now - last)} ago"
    verdicts = [Result("timer", schedule.name, problem, detail)]
    if service:
        state = _state(service)
        failed = service.get("LoadState") != "loaded" or service.get("ActiveState") == "failed"
        why = f"its last run failed: {state}" if failed else ""
        verdicts.append(Result("timer_service", service.get("Id", ""), why, state))
    return tuple(verdicts)


def judge(
    units: Sequence[str], schedules: Sequence[Schedule], ask: Show, now: float
) -> tuple[Result, ...]:
    """Judge all units and timers by one question, and a second one about the timers' services."""
    shown = ask([*units, *(schedule.name for schedule in schedules)])
    timers = shown[len(units) :]
    started = [timer.get("Unit", "") for timer in timers]
    named = [name for name in started if name]
    services = dict(zip(named, ask(named), strict=True)) if named else {}
    verdicts = [judge_unit(name, unit) for name, unit in zip(units, shown, strict=False)]
    for schedule, timer, service in zip(schedules, timers, started, strict=True):
        verdicts += judge_timer(schedule, timer, services.get(service, {}), now)
    return tuple(verdicts)
