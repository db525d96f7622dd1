"""What a restore is about to do and has done: a file that is whole at any moment.

It lies beside what was kept aside, `aside/<time>/restore.json`, and is written before each step, so
that whoever comes after a kill -9 knows what may have happened.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lookout.backup.parts import Part
from lookout.kit import config
from lookout.kit.files import write_atomically

NAME = "restore.json"

# What a part is about to go through or has come to. Only the first and the last two need nobody.
State = Literal["waiting", "stopping", "putting", "starting", "undoing", "restored", "as_before"]
_SETTLED = ("waiting", "restored", "as_before")


@dataclass(frozen=True)
class Entry:
    """One part of a restore."""

    # As it is put: what both this host and the snapshot know of it
    part: Part
    snapshot: str
    # When that was made
    time: float
    # Units that have to run again in the end
    ran: tuple[str, ...] = ()
    # Sources whose live data may have been touched, in their order
    begun: tuple[str, ...] = ()
    # Of its databases the one that is put; empty: all of them
    database: str = ""
    state: State = "waiting"


@dataclass(frozen=True)
class Journal:
    """One restore."""

    # Whose backup it is
    host: str
    started: float
    entries: tuple[Entry, ...]
    # Nothing is left to do, neither forth nor back.
    finished: bool = False

    @property
    def touched(self) -> list[Entry]:
        """Entries that were begun."""
        return [entry for entry in self.entries if entry.state != "waiting"]

    @property
    def restored(self) -> list[Entry]:
        """Entries that came to a good end."""
        return [entry for entry in self.entries if entry.state == "restored"]


class Kept:
    """The folder of one restore: its journal, and below it what was there before, by part."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder = folder
        self.journal = journal

    @classmethod
    def begin(cls, aside: Path, journal: Journal) -> Kept:
        """Make the folder of a new restore."""
        stamp = datetime.fromtimestamp(journal.started, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        folder = aside / stamp
        folder.mkdir(mode=0o700, parents=True)
        kept = cls(folder, journal)
        kept._write()
        return kept

    @classmethod
    def read(cls, folder: Path) -> Kept:
        """What a former restore left. Raises ConfigError where its journal is damaged."""
        file = folder / NAME
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise config.ConfigError([f"{file}: cannot be read: {error}"]) from error
        return cls(folder, config.build(Journal, data, str(file)))

    def aside(self, part: str) -> Path:
        """Where the present state of a part is kept; it has a folder a source."""
        return self.folder / part

    def entry(self, part: str) -> Entry:
        """The entry of a part."""
        return next(entry for entry in self.journal.entries if entry.part.name == part)

    def mark(self, part: str, state: State, ran: tuple[str, ...] | None = None) -> None:
        """Write down what comes next for a part, before it is done. Raises OSError."""
        entry = self.entry(part)
        ran = entry.ran if ran is None else ran
        self._replace(dataclasses.replace(entry, state=state, ran=ran))

    def begin_source(self, part: str, source: str) -> None:
        """Write down that the live data of a source is about to be touched."""
        entry = self.entry(part)
        begun = tuple(dict.fromkeys((*entry.begun, source)))
        self._replace(dataclasses.replace(entry, state="putting", begun=begun))

    def _replace(self, entry: Entry) -> None:
        entries = tuple(
            entry if one.part.name == entry.part.name else one for one in self.journal.entries
        )
        # Who undoes one that has ended begins anew: until it is back, it is under way again.
        finished = self.journal.finished and entry.state in _SETTLED
        self.journal = dataclasses.replace(self.journal, entries=entries, finished=finished)
        self._write()

    def finish(self) -> None:
        """Write down that nothing is left to do."""
        if all(entry.state in _SETTLED for entry in self.journal.entries):
            self.journal = dataclasses.replace(self.journal, finished=True)
            self._write()

    def _write(self) -> None:
        text = json.dumps(dataclasses.asdict(self.journal), default=str, indent=1)
        write_atomically(self.folder / NAME, text + "\n", 0o600)


def all_kept(aside: Path) -> list[Kept]:
    """What former restores left, the oldest first. A folder without a journal was never used."""
    return [Kept.read(file.parent) for file in sorted(aside.glob(f"*/{NAME}"))]


def half_restored(aside: Path) -> list[str]:
    """Parts that a restore was interrupted in: what they are now is neither old nor new.

    Of a journal no more is read than that: one that another version wrote, of a restore that is
    long over, must not keep the host from being saved. Raises ConfigError.
    """
    found: list[str] = []
    for file in sorted(aside.glob(f"*/{NAME}")):
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            if not data.get("finished"):
                found += [
                    str(entry["part"]["name"])
                    for entry in data["entries"]
                    if entry.get("state", "waiting") not in _SETTLED
                ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise config.ConfigError([f"{file}: cannot be read: {error!r}"]) from error
    return found
