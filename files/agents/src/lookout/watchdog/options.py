"""What the watchdog's configuration may say."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookout.kit.config import option
from lookout.kit.options import Options

# Ended by no rule: without them nobody could look at what went wrong.
ALWAYS_PROTECTED = ("systemd", "sshd", "sshd-session", "sshd-auth")


def unknown_users(key: str, names: tuple[str, ...]) -> Iterator[str]:
    """Problems of users that the host does not have."""
    for name in names:
        try:
            pwd.getpwnam(name)
        except KeyError:
            yield f"{key}: must be users of this host, there is no {name}"


@dataclass(frozen=True)
class Rule:
    """Which processes are watched, what they must keep to, and how they are ended.

    The topmost process that matches is watched together with all that it started.
    """

    name: str = option(pattern=r"[a-z][a-z0-9_-]{0,39}", must="be a short name in small letters")
    # Names of executables without their folder
    executables: tuple[str, ...] = ()
    # Searched in the command line
    command: str = ""
    users: tuple[str, ...] = ()
    memory_megabytes: int | None = option(1200, at_least=1)
    validation_required: bool = False
    first_validation_seconds: float = option(180.0, at_least=1)
    validation_interval_seconds: float = option(180.0, at_least=1)
    grace_seconds: float = option(10.0, at_least=0, at_most=300)
    dry_run: bool = False

    def problems(self) -> Iterator[str]:
        """Find what no single field shows."""
        if not self.executables and not self.command:
            yield "executables: must name one at least where there is no `command`"
        for name in self.executables:
            if not name or "/" in name:
                yield f"executables: must be names without a folder, got {name!r}"
            elif name in ALWAYS_PROTECTED:
                yield f"executables: must leave {name} alone"
        try:
            if self.command and re.compile(self.command).search(""):
                yield "command: must not match an empty command line"
        except re.error as error:
            yield f"command: must be a regular expression: {error}"
        yield from unknown_users("users", self.users)
        if self.memory_megabytes is None and not self.validation_required:
            yield "memory_megabytes: must be a number where no validation is required"


@dataclass(frozen=True)
class Validation:
    """Where processes are validated, and by whom."""

    directory: Path = Path("/run/lookout/watchdog")
    # Users who may validate processes of others; root and the process's own user always may.
    validators: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        """Find users that the host does not have."""
        yield from unknown_users("validators", self.validators)


@dataclass(frozen=True, kw_only=True)
class WatchdogOptions(Options):
    """All that the watchdog reads from its file."""

    rules: tuple[Rule, ...] = ()
    validation: Validation = Validation()
    scan_interval_seconds: float = option(5.0, at_least=0.2, at_most=60)
    kills_per_minute: int = option(10, at_least=1)
    # Names of further programs that no rule ends
    protected: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        """Find what no single field shows."""
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.name in seen:
                yield f"rules[{index}].name: must be used once, {rule.name} stands twice"
            seen.add(rule.name)
