"""What people were told last of each task, in memory: for when the history cannot be written.

A file for each task, as tasks run side by side. After a boot nothing is known, and the history says
what changed.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lookout.kit.files import write_atomically
from lookout.status.records import Change, Run

LOG = logging.getLogger("lookout.status")

# No name of a task has a dot.
UNWRITABLE = "history.unwritable"
_MODE = 0o640


@dataclass(frozen=True)
class Told:
    """The state that people know, since when, and why it fails."""

    ok: bool
    since: float
    message: str


def change_of(known: Told | None, run: Run, saved: Change | None, written: bool) -> Change | None:
    """What is to be told of a run: what people do not know.

    `saved` is what the history says where the run could be written into it.
    """
    if known is None and (written or run.ok):
        # One that works at its first run is no news.
        return saved
    if known is None:
        return Change(run.task, False, run.message)
    if known.ok == run.ok:
        return None
    if saved is not None:
        return saved
    if run.ok:
        return Change(run.task, True, known.message, max(run.started - known.since, 0))
    return Change(run.task, False, run.message)


class Memory:
    """The folder. Nothing that is wrong with it is raised."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, task: str) -> Told | None:
        """What people know of a task; None where that is unknown."""
        try:
            raw = json.loads(self._file(task).read_bytes())
            return Told(bool(raw["ok"]), float(raw["since"]), str(raw["message"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            LOG.warning("what was told of the task %s is unknown: %s", task, error)
            return None

    def keep(self, run: Run) -> None:
        """People know the state of this run now. What cannot be kept must not be believed later."""
        try:
            told = asdict(Told(run.ok, run.started, run.message))
            write_atomically(self._file(run.task), json.dumps(told), _MODE)
        except OSError as error:
            LOG.warning("what was told of the task %s cannot be kept: %s", run.task, error)
            with suppress(OSError):
                self._file(run.task).unlink()

    def forget(self, tasks: set[str]) -> None:
        """Forget the tasks that are configured no more."""
        for file in self._folder.glob("*.json"):
            if file.stem not in tasks:
                with suppress(OSError):
                    file.unlink()

    def trouble(self) -> bool:
        """Remember that the history cannot be written; whether that is new, for all tasks."""
        try:
            (self._folder / UNWRITABLE).touch(_MODE, exist_ok=False)
        except FileExistsError:
            return False
        except OSError:
            return True
        return True

    def no_trouble(self) -> None:
        """The history can be written; the next trouble is a new one."""
        with suppress(OSError):
            (self._folder / UNWRITABLE).unlink()

    def _file(self, task: str) -> Path:
        return self._folder / f"{task}.json"
