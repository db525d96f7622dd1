"""Timers of the status page, and what is refused before a host is asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    path = ROOT / "plugins/filter/status_page.py"
    spec = importlib.util.spec_from_file_location("status_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


status_page = _load()


def problems(tasks: Any, **given: Any) -> list[str]:
    known = {"credentials": {"shop": "x"}, "reports": {}, "classes": []}
    found: list[str] = status_page.status_page_problems(tasks, **(known | given))
    return found


@pytest.mark.parametrize(
    ("every", "calendar"),
    [(1, "*:0/1"), (10, "*:0/10"), (60, "0/1:00"), (120, "0/2:00"), (1440, "*-*-* 00:00:00")],
)
def test_a_timer_runs_as_often_as_it_is_told(every: int, calendar: str) -> None:
    assert status_page.on_calendar(every) == calendar


def test_each_task_has_a_timer_that_outlives_it() -> None:
    (timer,) = status_page.status_page_timers({"web": {"kind": "website_access"}})
    assert timer == {
        "name": "task@web",
        "arguments": ["task", "web"],
        "on_calendar": "*:0/10",
        "randomized_delay_seconds": 60,
        "timeout_seconds": 210,
    }
    (quick,) = status_page.status_page_timers({"web": {"every_minutes": 1, "timeout_seconds": 5.5}})
    assert quick["randomized_delay_seconds"] == 6
    assert quick["timeout_seconds"] == 155


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({}, "web.kind: must be a name of a kind"),
        ({"kind": "x", "every_minutes": 7}, "web.every_minutes: must divide an hour or a day"),
        ({"kind": "x", "every_minutes": True}, "web.every_minutes: must divide"),
        ({"kind": "x", "every_minutes": 90}, "web.every_minutes: must divide"),
        (
            {"kind": "x", "options": {"password_credential": "none"}},
            "password_credential: none is not in status_page_credentials",
        ),
        ({"kind": "x", "options": {"password": "y"}}, "a secret belongs into status_page_creden"),
        (None, "web: must be a mapping"),
    ],
)
def test_a_mistake_is_said_with_its_fix(task: Any, said: str) -> None:
    (found,) = problems({"web": task})
    assert found.startswith("status_page_tasks.web")
    assert said in found


def test_what_is_right_is_taken() -> None:
    task = {
        "kind": "website_login",
        "every_minutes": 30,
        "options": {"password_credential": "shop"},
    }
    assert problems({"web": task}, reports={"orders": "SELECT 1"}, classes=["queue_length"]) == []


def test_names_and_secrets_are_looked_at() -> None:
    found = problems(
        {"Web": {"kind": "x"}},
        credentials={"A b": "x", "empty": " "},
        reports={"Orders!": ""},
        classes=["queue-length"],
    )
    assert len(found) == 5
    assert problems([]) == ["status_page_tasks: must be a mapping, tasks by their names"]


def test_the_name_of_the_heartbeat_is_taken() -> None:
    task = {"monitoring": {"kind": "website_access"}}
    assert problems(task) == []
    assert problems(task, taken=["monitoring"]) == [
        "status_page_tasks.monitoring: is the heartbeat's name, take another one"
    ]
