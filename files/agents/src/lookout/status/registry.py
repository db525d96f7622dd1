"""What a task is, and where the kinds of tasks are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from lookout.kit import systemd

# A name is part of a file's name, of a unit's and of an address.
NAME = r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?"
KIND = r"[a-z][a-z0-9_]{0,47}"


class Failed(Exception):  # noqa: N818 -- it reads `raise Failed("no such text")`
    """What a task was after does not work; the text is shown on the page."""


@dataclass(frozen=True)
class Outcome:
    """What one run found."""

    ok: bool
    message: str = ""


@dataclass
class Context:
    """What a task gets from outside: its secrets, by the names of their files, and its own name."""

    name: str
    database: Path
    timeout_seconds: float
    secrets: set[str] = field(default_factory=set)

    def credential(self, name: str) -> str:
        """Return a secret that the unit loads; it is kept out of messages from then on."""
        try:
            value = systemd.credential(name)
        except OSError as error:
            raise Failed(f"the credential {name} cannot be read: {error.strerror}") from error
        if value is None:
            raise Failed(f"the credential {name} is not there, or empty")
        self.secrets.add(value)
        return value

    def redact(self, text: str) -> str:
        """Take out of a text whatever secret was read."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


class Task(Protocol):
    """A frozen dataclass: its fields are the options of one task."""

    def run(self, context: Context) -> Outcome:
        """Try it once. Raise Failed, or let an exception of a library through, where it fails."""
        ...


KINDS: dict[str, type[Any]] = {}


def task(kind: str) -> Callable[[type[Any]], type[Any]]:
    """Make a frozen dataclass known as a kind of task."""

    def keep(cls: type[Any]) -> type[Any]:
        if not is_dataclass(cls) or not callable(getattr(cls, "run", None)):
            raise TypeError(f"{cls.__name__} has to be a dataclass with a method run(context)")
        if kind in KINDS:
            raise ValueError(f"there is a kind {kind} already: {KINDS[kind].__qualname__}")
        KINDS[kind] = cls
        return cls

    return keep
