"""One part: a consistent copy of it in the stage, its manifest, and a snapshot of both."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookout.backup.manifest import Manifest
from lookout.backup.parts import Part
from lookout.backup.reach import patiently
from lookout.backup.restic import BYTES, PART, Repository, ResticError, Saved, is_locked, passes
from lookout.backup.sources import Source, SourceError, commands
from lookout.backup.state import NOT_COPIED
from lookout.kit.config import ConfigError

log = logging.getLogger("lookout.backup")

MEBIBYTE = 1 << 20
# Of its time a part waits so long for the store, which may be looking after the repository.
_WAIT_SHARE = 0.9


@dataclass(frozen=True)
class Outcome:
    """What became of one part in one run."""

    exit_code: int = NOT_COPIED
    # Why it failed; empty where it was saved
    problem: str = ""
    bytes: int = 0
    added_bytes: int = 0
    snapshot: str = ""
    seconds: float = 0.0
    # Whether it was not saved, and some of it may be at the store already
    begun: bool = False


@dataclass(frozen=True)
class Saver:
    """Saves parts of one host in one run."""

    host: str
    release: str
    # When the run began
    run: float
    stage_dir: Path
    reserve_bytes: int
    pauses: Sequence[float]
    sources: Callable[[Part], Sequence[Source]]

    def needs(self, part: Part) -> int:
        """About how much room the copy of a part takes. Raises SourceError and OSError."""
        return sum(source.bytes_needed() for source in self.sources(part))

    def save(self, part: Part, repository: Repository) -> Outcome:
        """Copy the part, and save the copy. Never raises for what is wrong with the part."""
        started, stage = time.monotonic(), self.stage_dir / part.name
        size, saved, code, problem, begun = 0, Saved("", 0), 0, "", False
        # Not to its very end, so that it can still say what it waited for
        until = started + part.timeout_seconds * _WAIT_SHARE
        try:
            size = self._copy(part, stage)
            log.info("part %s: %s copied in %.0f s", part.name, human(size), _since(started))
            saved = patiently(
                lambda: self._keep(part, stage, size, repository),
                passes,
                self.pauses,
                waits=lambda error: is_locked(error) and time.monotonic() < until,
            )
        except ResticError as error:
            code, problem, begun = error.status, str(error), True
        except (SourceError, OSError, subprocess.SubprocessError, ConfigError) as error:
            code, problem = NOT_COPIED, (str(error) or type(error).__name__) + self._full()
        finally:
            # At once, and not at the end of the run: the copies of all parts would need room side
            # by side, hold secrets, and their hard links keep samples that Prometheus deleted.
            empty(stage)
        return Outcome(
            code, problem, size, saved.added_bytes, saved.snapshot, _since(started), begun
        )

    def _copy(self, part: Part, stage: Path) -> int:
        """Fill the part's stage; the size of what is in it."""
        empty(stage)
        stage.mkdir(mode=0o700)
        _prepare(part)
        sources = self.sources(part)
        self._check_room(sum(source.bytes_needed() for source in sources))
        facts = {}
        for source in sources:
            folder = stage / source.name
            folder.mkdir(mode=0o700)
            source.save(folder)
            if not any(folder.iterdir()):
                raise SourceError(f"the copy of its {source.name} is empty")
            facts[source.name] = source.describe(folder)
        Manifest(part, self.host, self.run, facts, self.release).write(stage)
        return size_of(stage)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.stage_dir).free
        if needed + self.reserve_bytes > free:
            raise SourceError(
                f"its copy needs {human(needed)}, and {self.stage_dir} has {human(free)} free, of "
                f"which {human(self.reserve_bytes)} are to stay free"
            )

    def _full(self) -> str:
        """Whether the stage has got full: not every program that fails then says so, or where."""
        free = shutil.disk_usage(self.stage_dir).free
        return f"; {self.stage_dir} is full: {human(free)} are free" if free < MEBIBYTE else ""

    @staticmethod
    def _keep(part: Part, stage: Path, size: int, repository: Repository) -> Saved:
        # Blocks of samples never change, but each hard link to one changes its ctime: without
        # this restic reads all of them every night.
        options = ["--ignore-ctime"] if part.prometheus or part.victoriametrics else []
        tags = (f"{PART}{part.name}", f"{BYTES}{size}")
        return repository.backup(stage, tags, part.timeout_seconds, options)


def _prepare(part: Part) -> None:
    """Run the command of the part that comes before the copy."""
    if not part.prepare:
        return
    ending = commands.attempt(part.prepare, part.timeout_seconds)
    if ending.said:
        log.info("part %s: %s: %s", part.name, part.prepare[0], ending.said)
    if ending.problem:
        raise SourceError(ending.problem)


def empty(folder: Path) -> None:
    """Take a folder away with all that is below it; another try if somebody still writes there."""
    for last in (False, True):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError:
            if last:
                raise


def clear(folder: Path) -> None:
    """Take away all that is in a folder, which is made where it is missing, or may be a mount."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            empty(one)
        else:
            one.unlink()


def size_of(folder: Path) -> int:
    """How many bytes the files below a folder have."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def human(size: float) -> str:
    """A size for people, as in 12.3 MiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:  # noqa: PLR2004
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _since(started: float) -> float:
    return time.monotonic() - started
