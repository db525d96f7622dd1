"""Processes, rules and a stage for the watchdog's tests, without a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lookout.watchdog.details import Identity
from lookout.watchdog.options import Rule
from lookout.watchdog.processes import Key, Process
from lookout.watchdog.tree import Tree
from lookout.watchdog.validations import Found
from lookout.watchdog.watch import Clocks, Outcome, Watch

USER, OTHER_USER, VALIDATOR = 1000, 1001, 1002
BOOT = 1_700_000_000.0


def process(pid: int, parent: int = 1, **more: Any) -> Process:
    values: dict[str, Any] = {
        "start": 100 * pid, "name": "worker", "state": "S",
        "group": 1, "session": 1, "is_kernel": False,
    }  # fmt: skip
    return Process(pid=pid, parent=parent, **{**values, **more})


def tree(*processes: Process) -> Tree:
    return Tree({one.pid: one for one in processes})


def rule(**more: Any) -> Rule:
    return Rule(**{"name": "firefox", "executables": ("firefox",), **more})


def found(of: Process, **more: Any) -> Found:
    values: dict[str, Any] = {
        "name": f"{of.pid}-{of.start}", "pid": of.pid, "created": of.start, "in_seconds": False,
        "owner": USER, "written": 0.0, "lag_seconds": 0.0, "inode": 1,
    }  # fmt: skip
    return Found(**{**values, **more})


@dataclass
class Stage:
    """A watch, and clocks that the test moves."""

    rules: tuple[Rule, ...] = (rule(validation_required=True),)
    now: float = 10_000.0
    # How far the time of day has been set away from what it was
    set_by: float = 0.0
    slept: float = 0.0
    users: dict[int, int] = field(default_factory=dict)
    programs: dict[int, str] = field(default_factory=dict)
    memory: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(
            self.rules,
            identify=self.identify,
            resident=lambda pid: self.memory.get(pid, 1),
            users={"browser": USER},
            validators=frozenset({VALIDATOR}),
            longest_gap_seconds=30,
        )

    @property
    def clocks(self) -> Clocks:
        since_boot = self.now + self.slept
        return Clocks(self.now, since_boot, BOOT + since_boot + self.set_by)

    def identify(self, one: Process) -> Identity:
        program = self.programs.get(one.pid, one.name)
        return Identity(f"/usr/bin/{program}", program, self.users.get(one.pid, USER))

    def scan(self, *processes: Process, files: list[Found] | None = None) -> Outcome:
        return self.watch.update(tree(*processes), files or [], self.clocks)

    def blind(self, *processes: Process) -> Outcome:
        return self.watch.update(tree(*processes), [], self.clocks, trusted=False)

    def age(self, outcome: Outcome, key: Key) -> float | None:
        """Of the last validation of a tree."""
        validated = outcome.watched[key].validated
        return None if validated is None else self.now - validated

    def starting(self, pid: int, name: str = "firefox", **more: Any) -> Process:
        """A process that starts now."""
        return process(pid, name=name, start=int((self.now + self.slept) * 100), **more)
