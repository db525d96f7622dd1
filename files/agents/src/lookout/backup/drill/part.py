"""The drill of one part: restore its snapshot, read its manifest, have its sources judge it."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lookout.backup import manifest, parts, sources
from lookout.backup.drill.choose import said
from lookout.backup.drill.repository import BadBackupError, Judged
from lookout.backup.drill.results import PartResult
from lookout.backup.drill.scratch import Scratch
from lookout.backup.parts import Part
from lookout.backup.restic import Snapshot
from lookout.backup.sources import CannotJudgeError, Source, SourceError, commands

LOG = logging.getLogger("lookout.backup.drill")

MEBIBYTE = 1 << 20
# A database that is loaded from its dump takes about the dump's size again, its indexes as much
# and its journal some more; an empty server is 40 MiB.
ROOM_FACTOR, ROOM_BYTES = 3, 256 * MEBIBYTE
# Of a database with a thousand wrong tables, the first ones say enough.
MOST_PROBLEMS = 20
# A copy lacks a file, or has something else in its place.
_IN_THE_COPY = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


@dataclass(frozen=True)
class Examiner:
    """Examines parts of one host's backup."""

    # Of the host that judges, and of the one whose backup it is
    here: str
    host: str
    scratch: Scratch
    parts_dir: Path
    max_age_seconds: float
    now: float
    sources: Callable[[Part], Sequence[Source]] = sources.of

    def examine(
        self, part: str, snapshot: Snapshot, repository: Judged, folder: Path, seconds: float
    ) -> PartResult:
        """What is wrong with a part, restored below the empty folder `folder`."""
        found = PartResult(part, snapshot=snapshot.id)
        try:
            size = repository.size(snapshot) if snapshot.bytes is None else snapshot.bytes
            found = replace(found, bytes=size)
            self._check_room(size)
            target, started = folder / "restored", time.monotonic()
            LOG.info("%s: part %s: restores %s (%.1f MiB)", self.host, part, snapshot.id[:8],
                     size / MEBIBYTE)  # fmt: skip
            repository.restore(snapshot, target, seconds)
            took, started = time.monotonic() - started, time.monotonic()
            LOG.info("%s: part %s: restored in %.1f s, is judged", self.host, part, took)
            found = self._judge(replace(found, restore_seconds=took), target, folder)
            return replace(found, judge_seconds=time.monotonic() - started)
        except BadBackupError as error:
            return replace(found, failures=(*found.failures, str(error)))
        except CannotJudgeError as error:
            return replace(found, errors=(*found.errors, str(error)))

    def _check_room(self, size: int) -> None:
        needed, free = size * ROOM_FACTOR + ROOM_BYTES, self.scratch.free_bytes()
        if needed > free:
            raise CannotJudgeError(
                f"there is no room to judge it: {needed / MEBIBYTE:.0f} MiB are needed below "
                f"{self.scratch.root}, {free / MEBIBYTE:.0f} are free"
            )

    def _judge(self, found: PartResult, restored: Path, folder: Path) -> PartResult:
        try:
            told = manifest.read(restored)
        except manifest.ManifestError as error:
            raise BadBackupError(str(error)) from error
        if (told.host, told.part.name) != (self.host, found.part):
            raise BadBackupError(
                f"{manifest.NAME} is that of {told.host}/{told.part.name}, not of "
                f"{self.host}/{found.part}"
            )
        verdict = _Verdict()
        if told.run < self.now - self.max_age_seconds:
            verdict.failures.append(
                f"its data is of {said(told.run)}: older than {self.max_age_seconds / 3600:g} hours"
            )
        wanted = {source.name: source for source in self.sources(told.part)}
        for name in sorted(wanted.keys() ^ told.facts.keys()):
            verdict.failures.append(f"{manifest.NAME} and the part do not agree about {name}")
        for name, source in wanted.items():
            if name in told.facts:
                own = folder / f"judge-{name}"
                own.mkdir()
                verdict.of_source(source, restored / name, told.facts[name], own)
        notes = self._check(told.part, restored, verdict)
        return replace(
            found,
            saved=told.run,
            failures=_shortened(verdict.failures),
            errors=_shortened(verdict.errors),
            notes=notes,
        )

    def _check(self, told: Part, restored: Path, verdict: _Verdict) -> tuple[str, ...]:
        """Run the part's own check, which is taken from this host's file alone."""
        if self.host != self.here:
            return ("its check is not run, as it is another host's",) if told.checks else ()
        own = {part.name: part for part in parts.read(self.parts_dir)[0]}.get(told.name)
        if own is None:
            return ()
        # What a role has registered since is not in the copy.
        for command in own.limited(told.paths).checks:
            ending = commands.attempt(command, own.timeout_seconds, restored / "files")
            if ending.problem:
                told_to = verdict.errors if ending.no_verdict else verdict.failures
                told_to.append(f"its check {ending.problem}")
        return ()


class _Verdict:
    """What is gathered while a part is judged."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.errors: list[str] = []

    def of_source(self, source: Source, folder: Path, facts: sources.Facts, own: Path) -> None:
        """Have a source judge its folder of a copy."""
        try:
            for problem in source.judge(folder, facts, own):
                self.failures.append(f"{source.name}: {problem}")
        except SourceError as error:
            self.failures.append(f"{source.name}: {error}")
        except CannotJudgeError as error:
            self.errors.append(f"{source.name}: {error}")
        except OSError as error:
            bad = error.errno in _IN_THE_COPY and f"{error.filename}".startswith(f"{folder}")
            (self.failures if bad else self.errors).append(f"{source.name}: {error}")
        except Exception as error:
            # One source's mistake must not hide what the others find.
            LOG.exception("%s: the judge itself failed", source.name)
            self.errors.append(f"{source.name}: the judge itself failed: {error!r}")


def _shortened(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - MOST_PROBLEMS
    return (*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else []))
