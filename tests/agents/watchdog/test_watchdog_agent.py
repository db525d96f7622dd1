"""The whole watchdog on real processes: what it ends, and what it says about that."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from lookout import validate
from lookout.kit.config import ConfigError, parse
from lookout.watchdog import details, killer
from lookout.watchdog.agent import Agent, known_users
from lookout.watchdog.details import Identity
from lookout.watchdog.options import Rule, Validation, WatchdogOptions
from lookout.watchdog.processes import Process

# Another run of these tests may be on this machine.
MARK = f"lookout-test-of-the-agent-{os.getpid()}"


class Reports:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []

    def message(self, text: str, **more: Any) -> None:
        self.messages.append((text, more))


class Stage:
    """An agent with one rule, on processes that carry the mark."""

    def __init__(self, directory: Path, **rule: Any) -> None:
        self.directory = directory
        values = {"name": "marked", "command": MARK, "grace_seconds": 0.2, **rule}
        self.options = WatchdogOptions(
            instance="app1",
            rules=(Rule(**values),),
            validation=Validation(directory),
            scan_interval_seconds=0.2,
        )
        self.reports = Reports()
        self.registry = CollectorRegistry()
        kit: Any = SimpleNamespace(registry=self.registry, reports=self.reports)
        self.agent = Agent(self.options, kit, known_users(self.options))
        # The tests run in the group of what they start.
        self.agent.killer._own_group = ""

    def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, self.agent.step() / 2))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"watchdog_{name}", labels)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "watchdog"
    made.mkdir()
    made.chmod(0o1730)
    return made


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", MARK]) as victim:
        yield victim
        victim.kill()


VALIDATED = {
    "validation_required": True,
    "first_validation_seconds": 1,
    "validation_interval_seconds": 1,
}


def test_validated_it_lives_and_ends_once_it_is_not(
    directory: Path, victim: subprocess.Popen[bytes]
) -> None:
    stage = Stage(directory, **VALIDATED)
    for _ in range(6):
        validate.validate_process(victim.pid, directory)
        stage.run(0.4)
    assert victim.poll() is None
    assert stage.value("validated_trees", rule="marked") == 1
    assert stage.value("oldest_validation_age_seconds", rule="marked") < 1  # type: ignore[operator]
    last = time.monotonic()
    stage.run(1.8)
    assert victim.poll() == -signal.SIGTERM
    assert time.monotonic() - last < 2
    assert stage.value("kills_total", rule="marked", reason="validation_old") == 1
    ((text, more),) = stage.reports.messages
    assert "app1: ended python" in text
    assert f"{victim.pid} of rule marked: its last validation is 1 s old, 1 s are allowed" in text
    assert more["tags"] == {"rule": "marked", "reason": "validation_old"}
    stage.run(0.4)
    assert list(directory.iterdir()) == [], "its validation is stale"
    assert stage.value("matched_trees", rule="marked") == 0


def test_never_validated_it_ends(directory: Path, victim: subprocess.Popen[bytes]) -> None:
    stage = Stage(directory, **VALIDATED)
    stage.run(1.8)
    assert victim.poll() == -signal.SIGTERM
    assert stage.value("kills_total", rule="marked", reason="never_validated") == 1


def test_a_directory_that_cannot_be_trusted_kills_nobody(
    directory: Path, victim: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    directory.chmod(0o777)
    stage = Stage(directory, **VALIDATED)
    stage.run(1.8)
    assert victim.poll() is None
    assert stage.value("validation_directory_usable") == 0
    said = [one for one in caplog.records if "cannot be trusted" in one.message]
    assert [one.levelno for one in said] == [logging.ERROR], "once"
    directory.chmod(0o1730)
    stage.run(0.5)
    assert stage.value("validation_directory_usable") == 1
    assert victim.poll() is None, "the clock begins anew"


def test_past_its_memory_it_ends(directory: Path, victim: subprocess.Popen[bytes]) -> None:
    time.sleep(0.5)  # it has to be there as a whole
    stage = Stage(directory, memory_megabytes=1)
    stage.run(1)
    assert victim.poll() == -signal.SIGTERM
    assert stage.value("kills_total", rule="marked", reason="memory") == 1


def test_resident_memory_alone_ends_nobody(
    directory: Path, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    time.sleep(0.5)  # it has to be there as a whole

    def shared(pid: int) -> int:
        read.append(pid)
        return 900_000

    monkeypatch.setattr("lookout.watchdog.agent.proportional_bytes", shared)
    stage = Stage(directory, memory_megabytes=1)
    stage.run(1)
    assert victim.poll() is None
    assert read == [victim.pid], "near its limit it is read, and not in each scan"


def test_memory_that_cannot_be_read_is_said(
    directory: Path,
    victim: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_pid: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lookout.watchdog.agent.proportional_bytes", refuse)
    stage = Stage(directory, memory_megabytes=1)
    stage.run(0.5)
    assert victim.poll() is None
    assert (stage.value("memory_unreadable_total") or 0) >= 1
    assert caplog.text.count("no memory limit holds") == 1


def test_a_dry_run_says_so_once(
    directory: Path, victim: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(directory, memory_megabytes=1, dry_run=True)
    stage.run(1)
    assert victim.poll() is None
    assert stage.value("dry_run_kills_total", rule="marked", reason="memory") == 1
    assert stage.value("kills_total", rule="marked", reason="memory") == 0
    assert [one.message[:9] for one in caplog.records] == ["would end"]
    assert stage.reports.messages == []


def test_one_that_does_not_die_is_told(
    directory: Path, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killer, "_send", lambda *_: None)
    monkeypatch.setattr(killer, "UNDYING_SECONDS", 0.3)
    stage = Stage(directory, memory_megabytes=1)
    stage.run(1.5)
    assert stage.value("undying_trees") == 1
    victim.kill()
    victim.wait()
    stage.run(2.5)
    assert stage.value("undying_trees") == 0


def test_pre_created_for_another_user_it_is_refused_and_taken_away(
    directory: Path, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(directory, **VALIDATED)
    path = validate.validate_process(victim.pid, directory)
    identify = stage.agent.watch._identify

    def of_another_user(one: Process) -> Identity | None:
        identity = identify(one)
        return identity and dataclasses.replace(identity, user=os.getuid() + 1)

    monkeypatch.setattr(stage.agent.watch, "_identify", of_another_user)
    stage.agent.watch._validators = frozenset()
    stage.run(0.3)
    assert stage.value("validations_refused_total", reason="owner") == 1
    assert not path.exists()


def test_a_scan_is_told(directory: Path) -> None:
    stage = Stage(directory)
    stage.run(0.5)
    assert stage.value("scans_total") >= 2  # type: ignore[operator]
    assert stage.value("processes") > 1  # type: ignore[operator]
    assert time.time() - stage.value("last_scan_timestamp_seconds") < 1  # type: ignore[operator]


# --- configuration ---

EXAMPLE = """
rules:
  - name: firefox
    executables: [firefox, firefox-esr]
    users: [root]
    validation_required: true
"""


def test_the_defaults_are_those_of_the_requirement() -> None:
    options = parse(WatchdogOptions, EXAMPLE, "watchdog.yml")
    (rule,) = options.rules
    assert rule.memory_megabytes == 1200
    assert rule.first_validation_seconds == rule.validation_interval_seconds == 180
    assert str(options.validation.directory) == "/run/lookout/watchdog"
    assert known_users(options) == {"root": 0}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules: [{name: x}]", "rules[0].executables must name one at least"),
        ("rules: [{name: X, command: x}]", "rules[0].name must be a short name in small letters"),
        ("rules: [{name: x, command: '('}]", "rules[0].command must be a regular expression: "),
        ("rules: [{name: x, command: '.*'}]", "rules[0].command must not match an empty"),
        ("rules: [{name: x, executables: [/x]}]", "rules[0].executables must be names without"),
        ("rules: [{name: x, executables: [sshd]}]", "rules[0].executables must leave sshd alone"),
        ("rules: [{name: x, command: y, memory_megabytes: 0}]",
         "rules[0].memory_megabytes must be at least 1"),
        ("rules: [{name: x, command: y, memory_megabytes: null}]",
         "rules[0].memory_megabytes must be a number"),
        ("rules: [{name: x, command: y}, {name: x, command: z}]", "rules[1].name must be used"),
        ("rules: [{name: x, command: y, users: [nobody-here]}]",
         "rules[0].users must be users of this host, there is no nobody-here"),
        ("validation: {validators: [nobody-here]}", "validation.validators must be users of this"),
        ("scan_interval_seconds: 0", "scan_interval_seconds must be at least 0.2, got 0"),
        ("validation: {directory: here}", "validation.directory must be an absolute path"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(WatchdogOptions, text, "watchdog.yml")
    assert any(one.startswith(f"watchdog.yml: {problem}") for one in error.value.problems), (
        error.value
    )


def test_a_flood_of_folders_kills_nobody_and_goes(
    directory: Path, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.watchdog.validations.MOST_ENTRIES", 20)
    stage = Stage(directory, **VALIDATED)
    for number in range(30):
        (directory / f"full{number}" / "x").mkdir(parents=True)
    stage.run(1.8)
    assert victim.poll() is None
    assert stage.value("validation_directory_usable") == 0
    assert stage.value("validations_refused_total", reason="too_many") > 1  # type: ignore[operator]
    for number in range(30):
        (directory / f"full{number}" / "x").rmdir()
    stage.run(0.8)
    assert list(directory.iterdir()) == []
    assert stage.value("validation_directory_usable") == 1
    assert victim.poll() is None


def test_the_rule_is_matched_anew_before_it_ends(
    directory: Path, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(0.5)  # it has to be there as a whole
    stage = Stage(directory, memory_megabytes=1)
    identify = stage.agent.watch._identify
    asked: list[int] = []

    def another_from_the_second_look_on(one: Process) -> Identity | None:
        identity = identify(one)
        if one.pid != victim.pid or identity is None:
            return identity
        asked.append(one.pid)
        return identity if len(asked) == 1 else dataclasses.replace(identity, command="other")

    monkeypatch.setattr(stage.agent.watch, "_identify", another_from_the_second_look_on)
    stage.run(1)
    assert len(asked) == 2
    assert victim.poll() is None
    assert stage.value("kills_total", rule="marked", reason="memory") == 0


def test_no_command_line_is_kept(directory: Path, victim: subprocess.Popen[bytes]) -> None:
    stage = Stage(directory)
    stage.run(0.3)
    assert victim.pid in stage.agent.watch._matches
    assert MARK not in repr(stage.agent.watch._matches[victim.pid].process)
    assert not hasattr(stage.agent, "_identities")


def test_a_flood_of_one_user_leaves_room_for_another(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-c", "import time; time.sleep(60)", MARK]
    started = [subprocess.Popen(words) for _ in range(4)]
    read, other = details.read_identity, started[-1].pid

    def of_two_users(pid: int) -> Identity:
        identity = read(pid)
        return dataclasses.replace(identity, user=77) if pid == other else identity

    monkeypatch.setattr(details, "read_identity", of_two_users)
    monkeypatch.setattr(killer, "read_identity", of_two_users)
    time.sleep(0.5)  # they have to be there as a whole
    stage = Stage(directory, memory_megabytes=1)
    stage.agent.killer._per_minute = 2
    stage.run(1)
    ended = [one.poll() is not None for one in started]
    for one in started:
        one.kill()
        one.wait()
    assert sum(ended) == 2
    assert ended[-1]
