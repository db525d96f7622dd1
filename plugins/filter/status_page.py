"""When the tasks of the status page run, and what is wrong with them before a host is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,47}")
# As the program has them by default (lookout.status.options)
_EVERY_MINUTES = 10
_TIMEOUT_SECONDS = 60
# A run may be followed by messages to people, each of which has its own limit.
_AFTER_SECONDS = 150
_HOUR, _DAY = 60, 1440

Task = Mapping[str, Any]


def on_calendar(every_minutes: int) -> str:
    """What a timer of systemd is set to; the number divides an hour or a day."""
    if every_minutes < _HOUR:
        return f"*:0/{every_minutes}"
    hours = every_minutes // _HOUR
    return "*-*-* 00:00:00" if every_minutes == _DAY else f"0/{hours}:00"


def _divides(every: Any) -> bool:
    if isinstance(every, bool) or not isinstance(every, int) or not 1 <= every <= _DAY:
        return False
    return _HOUR % every == 0 or (every % _HOUR == 0 and _DAY % every == 0)


def status_page_timers(tasks: Mapping[str, Task]) -> list[dict[str, Any]]:
    """One timer a task, for role agent."""
    timers = []
    for name, task in tasks.items():
        every = int(task.get("every_minutes", _EVERY_MINUTES))
        seconds = float(task.get("timeout_seconds", _TIMEOUT_SECONDS))
        timers.append(
            {
                "name": f"task@{name}",
                "arguments": ["task", name],
                "on_calendar": on_calendar(every),
                # So that they do not all begin in the same second
                "randomized_delay_seconds": min(6 * every, 60),
                "timeout_seconds": int(seconds) + _AFTER_SECONDS,
            }
        )
    return timers


def _problems_of(name: str, task: Any, credentials: Sequence[str]) -> list[str]:
    at = f"status_page_tasks.{name}"
    if not _NAME.fullmatch(str(name)):
        return [f"{at}: a name has small letters, digits and hyphens, such as database-access"]
    if not isinstance(task, Mapping):
        return [f"{at}: must be a mapping with at least `kind`"]
    found = []
    if not _KIND.fullmatch(str(task.get("kind", ""))):
        found.append(f"{at}.kind: must be a name of a kind, such as website_access")
    if not _divides(task.get("every_minutes", _EVERY_MINUTES)):
        found.append(f"{at}.every_minutes: must divide an hour or a day, such as 10, 30 or 120")
    options = task.get("options", {})
    for key, value in options.items() if isinstance(options, Mapping) else ():
        if str(key).endswith("_credential") and value and value not in credentials:
            found.append(f"{at}.options.{key}: {value} is not in status_page_credentials")
        if str(key) in ("password", "token", "secret"):
            found.append(
                f"{at}.options.{key}: a secret belongs into status_page_credentials;"
                f" name it here in {key}_credential"
            )
    return found


def status_page_problems(
    tasks: Any,
    credentials: Mapping[str, str],
    reports: Mapping[str, str],
    classes: Sequence[str],
    taken: Sequence[str] = (),
) -> list[str]:
    """All that is wrong with tasks, secrets, reports and classes, one line each."""
    if not isinstance(tasks, Mapping):
        return ["status_page_tasks: must be a mapping, tasks by their names"]
    known = [*credentials]
    found = [
        f"status_page_tasks.{name}: is the heartbeat's name, take another one"
        for name in tasks
        if name in taken
    ]
    found += [line for name, task in tasks.items() for line in _problems_of(name, task, known)]
    found += [
        f"status_page_credentials.{name}: a name has small letters, digits and underscores"
        for name in credentials
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", str(name))
    ]
    found += [
        f"status_page_credentials.{name}: is empty"
        for name, value in credentials.items()
        if not str(value).strip()
    ]
    found += [
        f"status_page_reports.{name}: a name has small letters, digits and hyphens"
        for name in reports
        if not _NAME.fullmatch(str(name))
    ]
    found += [
        f"status_page_task_classes.{name}: has to be called like its kind, such as queue_length"
        for name in classes
        if not _KIND.fullmatch(str(name))
    ]
    return found


class FilterModule:
    """Filters of the role status_page."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names in templates."""
        return {
            "status_page_problems": status_page_problems,
            "status_page_timers": status_page_timers,
        }
