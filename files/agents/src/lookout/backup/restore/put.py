"""Copies into place, part by part, and back again where that does not come to a good end."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lookout.backup.manifest import Manifest
from lookout.backup.parts import Part
from lookout.backup.restore import fetch, live
from lookout.backup.restore.journal import Entry, Kept, State
from lookout.backup.restore.units import Units, UnitsError
from lookout.backup.sources import Source

log = logging.getLogger("lookout.backup.restore")

# The files of a host are below it.
_ROOT = Path("/")


class PutError(Exception):
    """A part could not be put; it is as it was before."""


class UndoError(Exception):
    """A part could not be put, nor brought back: it needs somebody."""


@dataclass(frozen=True)
class Putting:
    """Puts the copies of one restore, and writes down each step before it is done."""

    kept: Kept
    # Folder of the copies, one a part
    copies: Path
    units: Units
    sources: Callable[[Entry], Sequence[Source]]
    # The part's own check, of this host's file
    check: Callable[[Sequence[str], Path, float], str] = fetch.check

    def put(self, name: str, manifest: Manifest) -> None:
        """Replace what is live of a part; if it does not come to a good end, go back.

        Raises PutError when it is as it was before, UndoError when it is not.
        """
        started = time.monotonic()
        entry = self.kept.entry(name)
        try:
            if entry.state == "waiting":
                self.kept.mark(name, "stopping", self.units.ran(entry.part.units))
        except (UnitsError, OSError) as error:
            raise PutError(f"{name}: {error}") from error
        try:
            self._forth(entry, manifest)
        except (Exception, KeyboardInterrupt) as error:
            # Whatever went wrong: a part that is half of each is the worst of all.
            why = str(error) or "it was interrupted"
            log.error("%s: %s: goes back", name, why)
            self.undo(name)
            raise PutError(f"{name}: {why}") from error
        self.kept.mark(name, "restored")
        log.info("%s: restored in %.0f s", name, time.monotonic() - started)

    def _forth(self, entry: Entry, manifest: Manifest) -> None:
        part = entry.part
        if part.units:
            log.info("%s: stops %s", part.name, ", ".join(part.units))
            self.units.stop(part.units)
        for source in self.sources(entry):
            aside = self.kept.aside(part.name) / source.name
            aside.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.kept.begin_source(part.name, source.name)
            log.info("%s: puts %s", part.name, source.name)
            facts = manifest.facts[source.name]
            source.put(self.copies / part.name / source.name, facts, aside)
        ran = self.kept.entry(part.name).ran
        copy = self.copies / part.name
        problems = list(live.differences(self.sources(entry), copy))
        if not problems:
            self.kept.mark(part.name, "starting")
            self._start(part, ran)
            problems = list(self._problems(part, ran))
            problems += live.answers(part, manifest.facts)
        if problems:
            raise PutError("; ".join(problems))

    def undo(self, name: str) -> None:
        """Bring a part back to what it was before the restore. Raises UndoError."""
        entry = self.kept.entry(name)
        with undisturbed():
            self._note(name, "undoing")
            try:
                self.units.stop(entry.part.units)
                by_name = {source.name: source for source in self.sources(entry)}
                for begun in reversed(self.kept.entry(name).begun):
                    log.info("%s: brings %s back", name, begun)
                    by_name[begun].undo(self.kept.aside(name) / begun)
                self._start(entry.part, entry.ran)
            except Exception as error:
                log.exception("%s cannot be brought back", name)
                raise UndoError(f"{name}: it could not be brought back: {error}") from error
            self._note(name, "as_before")
        try:
            for problem in self.units.problems(entry.ran):
                log.warning("%s is as it was before, and yet: %s", name, problem)
        except UnitsError as error:
            log.warning("%s is as it was before, and yet: %s", name, error)

    def _note(self, name: str, state: State) -> None:
        """Write a step down if that can be done: a full disk must not bar the way back."""
        try:
            self.kept.mark(name, state)
        except OSError as error:
            log.error("%s: cannot be written down as %s: %s", name, state, error)

    def settle(self, name: str) -> None:
        """Forget what was there before the restore. Raises SourceError and OSError."""
        entry = self.kept.entry(name)
        for source in self.sources(entry):
            if source.name in entry.begun:
                source.settle(self.kept.aside(name) / source.name)

    def _start(self, part: Part, ran: Sequence[str]) -> None:
        if ran:
            log.info("%s: starts %s", part.name, ", ".join(ran))
            self.units.start(ran)

    def _problems(self, part: Part, ran: Sequence[str]) -> Iterator[str]:
        yield from self.units.problems(ran)
        for command in part.checks:
            said = self.check(command, _ROOT, part.timeout_seconds)
            if said:
                yield said


@contextmanager
def undisturbed() -> Iterator[None]:
    """Who loses patience while it goes back would only leave half of each."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
