"""A whole run, and what it does when it cannot keep or tell what it found."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lookout.health import report, run
from lookout.health.changes import Message
from lookout.health.config import Checks, Disk, HealthOptions
from lookout.health.results import Result
from lookout.health.state import load


class Sentry:
    """Takes messages, or does not."""

    def __init__(self) -> None:
        self.reached = True
        self.tried: list[str] = []
        self.took: list[str] = []

    def __call__(self, message: Message, _result: Result) -> bool:
        self.tried.append(message.key)
        if self.reached:
            self.took.append(f"{message.level} {message.key}")
        return self.reached


@pytest.fixture
def config(tmp_path: Path) -> HealthOptions:
    return HealthOptions(
        instance="app1",
        checks=Checks(disks=(Disk(tmp_path / "data"),)),
        registered_dir=tmp_path / "health.d",
        metrics_file=tmp_path / "metrics/health.prom",
        state_file=tmp_path / "state/state.json",
        spare_state_file=tmp_path / "spare/state.json",
    )


@pytest.fixture
def sentry(config: HealthOptions) -> Sentry:
    for file in (config.metrics_file, config.state_file, config.spare_state_file):
        file.parent.mkdir()
    (config.checks.disks[0].path).mkdir()
    return Sentry()


def metric(config: HealthOptions, name: str) -> float:
    lines = config.metrics_file.read_text().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(name)))


def test_a_fault_and_its_end(config: HealthOptions, sentry: Sentry) -> None:
    data = config.checks.disks[0].path
    assert run.once(config, sentry) == run.ALL_WELL
    data.rmdir()
    assert [run.once(config, sentry) for _ in range(3)] == [run.SOMETHING_FAILS] * 3
    assert (
        metric(config, f'lookout_health_check_failing{{alert="no",check="disk",name="{data}"') == 1
    )
    data.mkdir()
    assert run.once(config, sentry) == run.ALL_WELL
    assert sentry.took == [
        f"error disk/{data}", f"error inodes/{data}", f"info disk/{data}", f"info inodes/{data}"
    ]  # fmt: skip
    assert metric(config, "lookout_health_checks ") == 2


def test_what_did_not_arrive_is_sent_by_the_next_run_and_said_once(
    config: HealthOptions, sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    config.checks.disks[0].path.rmdir()
    sentry.reached = False
    for _ in range(2):
        run.once(config, sentry)
    assert len(sentry.tried) == 2, "after the first that does not arrive there is no second try"
    assert caplog.text.count("is sent again by the next run") == 1
    assert metric(config, 'lookout_health_troubles_total{what="messages"}') == 2
    sentry.reached = True
    for _ in range(2):
        run.once(config, sentry)
    assert len(sentry.took) == 2


def test_a_run_that_is_killed_while_it_tells_has_kept_what_it_did(
    config: HealthOptions, sentry: Sentry
) -> None:
    data = config.checks.disks[0].path
    data.rmdir()

    def killed_at_the_second(message: Message, result: Result) -> bool:
        if sentry.took:
            raise KeyboardInterrupt
        return sentry(message, result)

    with pytest.raises(KeyboardInterrupt):
        run.once(config, killed_at_the_second)
    assert metric(config, "lookout_health_check_failing") == 1
    run.once(config, sentry)
    assert sentry.took == [f"error disk/{data}", f"error inodes/{data}"], "each of them once"


def test_messages_that_take_long_are_left_to_the_next_run(
    config: HealthOptions,
    sentry: Sentry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config.checks.disks[0].path.rmdir()
    monkeypatch.setattr(run, "MESSAGES_SECONDS", 0.05)

    def slowly(message: Message, result: Result) -> bool:
        time.sleep(0.06)
        return sentry(message, result)

    told = []
    for _ in range(3):
        run.once(config, slowly)
        told.append(len(sentry.took))
    assert told == [1, 2, 2]
    assert caplog.text.count("the next run sends the rest") == 1
    assert metric(config, 'lookout_health_troubles_total{what="messages"}') == 1


def test_a_state_that_cannot_be_kept_is_kept_in_memory(
    config: HealthOptions, sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    gone = replace(config, state_file=config.state_file.parent / "gone/state.json")
    config.checks.disks[0].path.rmdir()
    for _ in range(3):
        run.once(gone, sentry)
    assert len(sentry.took) == 2
    assert caplog.text.count("No such file or directory; the checks go on") == 1
    assert load(gone.state_file, gone.spare_state_file)[0].counts["state"] == 3


def test_neither_state_nor_metrics_can_be_written(
    config: HealthOptions, sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    for file in (config.metrics_file, config.state_file, config.spare_state_file):
        file.parent.rmdir()
    assert run.once(config, sentry) == run.ALL_WELL
    assert caplog.text.count("the checks go on") == 2


def test_a_torn_state_is_said_and_what_fails_is_told_anew(
    config: HealthOptions, sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    config.checks.disks[0].path.rmdir()
    run.once(config, sentry)
    os.truncate(config.state_file, 50)
    for _ in range(2):
        run.once(config, sentry)
    assert len(sentry.took) == 4
    assert caplog.text.count("what was before is unknown") == 1


def test_the_log_has_a_line_for_each_change_and_one_for_each_run(
    config: HealthOptions, sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config.checks.disks[0].path.rmdir()
    for _ in range(2):
        run.once(config, sentry)
    # Their names are the program's own to choose.
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.WARNING, logging.WARNING, logging.INFO, logging.INFO]
    assert "2 checks, 2 failing: disk/" in caplog.text


def test_the_table_begins_with_what_fails() -> None:
    table = report.table(
        [Result("unit", "a.service", detail="active"), Result("disk", "/", "full")]
    )
    assert [line.split() for line in table.splitlines()] == [
        ["CHECK", "NAME", "WHAT"],
        ["FAIL", "disk", "/", "full"],
        ["ok", "unit", "a.service", "active"],
    ]
