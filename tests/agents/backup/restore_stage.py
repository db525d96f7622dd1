"""A host in miniature that something is restored on, with everything it does in one list."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lookout.backup import manifest
from lookout.backup.manifest import Manifest
from lookout.backup.options import RunOptions, Store
from lookout.backup.parts import Part
from lookout.backup.restic import ResticError, Snapshot
from lookout.backup.restore import session, wishes
from lookout.backup.restore.context import Context, Stop
from lookout.backup.restore.journal import Entry, Kept, all_kept
from lookout.backup.restore.units import UnitsError
from lookout.backup.sources import CannotJudgeError, Facts, Source, SourceError
from lookout.backup.sources.files import FilesSource
from lookout.kit import config

HOST = "app1"
# How the fakes are told to fail, and what they say then
ERRORS: dict[str, type[Exception]] = {
    "fetch": ResticError,
    "stop": UnitsError,
    "start": UnitsError,
    "stays": UnitsError,
    "cannot": CannotJudgeError,
}


@dataclass
class Book:
    """What was done, in its order; which steps are to fail; what to do before each of them."""

    lines: list[str] = field(default_factory=list)
    # Step, as in "put alpha", or its first word for all of them -> how often it fails
    fails: dict[str, int] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _step: None

    def step(self, what: str) -> None:
        self.lines.append(what)
        self.before(what)
        if self.due(what):
            kind = ERRORS.get(what.split(maxsplit=1)[0], SourceError)
            raise kind(f"{what} failed", 1) if kind is ResticError else kind(f"{what} failed")

    def due(self, what: str) -> bool:
        for name in (what, what.split(maxsplit=1)[0]):
            if self.fails.get(name, 0) > 0:
                self.fails[name] -= 1
                return True
        return False


class Told:
    """The real source of files, which writes down what it is asked for."""

    def __init__(self, part: Part, book: Book) -> None:
        self._source = FilesSource(part.paths, part.exclude)
        self._part, self._book = part.name, book
        self.name = self._source.name

    def bytes_needed(self) -> int:
        return self._source.bytes_needed()

    def save(self, folder: Path) -> None:
        self._source.save(folder)
        if self._book.due(f"same {self._part}"):
            next(file for file in folder.rglob("*") if file.is_file()).write_text("other")

    def describe(self, folder: Path) -> Facts:
        return self._source.describe(folder)

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        if ".again" not in str(folder):
            self._book.lines.append(f"judge {self._part}")
            if self._book.due(f"cannot {self._part}"):
                raise CannotJudgeError("a program is not on this host")
            if self._book.due(f"judge {self._part}"):
                yield "it is damaged"
        yield from self._source.judge(folder, facts, scratch)

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        self._book.step(f"put {self._part}")
        self._source.put(folder, facts, aside)
        self._book.step(f"placed {self._part}")

    def undo(self, aside: Path) -> None:
        self._book.step(f"undo {self._part}")
        self._source.undo(aside)

    def settle(self, aside: Path) -> None:
        self._book.step(f"settle {self._part}")
        self._source.settle(aside)


class FakeUnits:
    """Units that run unless somebody stopped them; `state` outlives the process in a folder."""

    def __init__(self, folder: Path, book: Book) -> None:
        self._folder, self._book = folder, book

    def ran(self, units: Sequence[str]) -> tuple[str, ...]:
        if self._book.due(f"ran {' '.join(units)}"):
            raise UnitsError("systemd does not answer")
        return tuple(unit for unit in units if (self._folder / unit).exists())

    def stop(self, units: Sequence[str]) -> None:
        self._book.step(f"stop {' '.join(units)}")
        for unit in units:
            (self._folder / unit).unlink(missing_ok=True)

    def start(self, units: Sequence[str]) -> None:
        self._book.step(f"start {' '.join(units)}")
        for unit in units:
            (self._folder / unit).touch()

    def problems(self, units: Sequence[str]) -> Iterator[str]:
        if self._book.due(f"stays {' '.join(units)}"):
            yield f"{units[0]} is failed"
        yield from (f"{unit} does not run" for unit in units if unit not in self.ran(units))


class FolderArchive:
    """Snapshots that are folders."""

    def __init__(self, folder: Path, book: Book) -> None:
        self.host = HOST
        self._folder, self._book = folder, book

    def snapshots(self) -> list[Snapshot]:
        found = []
        for folder in sorted(self._folder.iterdir(), key=lambda one: float(one.name.split("-")[0])):
            when, _, name = folder.name.partition("-")
            tags = (f"part={name}",) if name != "record" else tuple(_tags(folder))
            found.append(Snapshot(folder.name, float(when), HOST, tags))
        return found

    def manifest(self, snapshot: str) -> Manifest:
        return manifest.read(self._folder / snapshot)

    def size(self, snapshot: Snapshot) -> int:
        return sum(f.stat().st_size for f in (self._folder / snapshot.id).rglob("*") if f.is_file())

    def restore(self, snapshot: str, folder: Path, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        self._book.step(f"fetch {snapshot.partition('-')[2]}")
        shutil.copytree(self._folder / snapshot, folder, dirs_exist_ok=True)


def _tags(folder: Path) -> list[str]:
    return ["record", *(f"good={one}" for one in (folder / "good").read_text().split())]


@dataclass
class RestoreStage:
    """A host whose parts are a folder each."""

    root: Path
    book: Book = field(default_factory=Book)
    tty: bool = False

    @property
    def options(self) -> RunOptions:
        return RunOptions(
            instance=HOST,
            store=Store("store", "lookout-store", Path("/nonexistent")),
            parts_dir=self.root / "parts",
            stage_dir=self.root / "work/stage",
            lock_file=self.root / "work/lock",
        )

    def live(self, name: str) -> Path:
        return self.root / "live" / name

    def part(self, name: str, **keys: Any) -> Part:
        """Register a part of one folder and one unit, which runs."""
        lines = {
            "name": name,
            "paths": f"[{self.live(name)}]",
            "units": f"[{name}.service]",
            **keys,
        }
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (self.root / "parts" / f"{name}.yml").write_text(text)
        self.live(name).mkdir(parents=True, exist_ok=True)
        (self.root / "units" / f"{name}.service").touch()
        return config.parse(Part, text, name)

    def write(self, name: str, text: str) -> None:
        (self.live(name) / "data").write_text(text)

    def read(self, name: str) -> str:
        return (self.live(name) / "data").read_text()

    def runs(self, name: str) -> bool:
        return (self.root / "units" / f"{name}.service").exists()

    def save(self, when: float, *parts: Part, good: bool = True) -> None:
        """A run of the backup."""
        for part in parts:
            stage = self.root / "archive" / f"{when}-{part.name}"
            source = FilesSource(part.paths, part.exclude)
            (stage / source.name).mkdir(parents=True)
            source.save(stage / source.name)
            facts = {source.name: source.describe(stage / source.name)}
            Manifest(part, HOST, when, facts).write(stage)
        record = self.root / "archive" / f"{when + 0.5}-record"
        record.mkdir()
        named = [f"{when}-{part.name}" for part in parts] if good else []
        (record / "good").write_text(" ".join(named))

    def sources(self, entry: Entry) -> list[Source]:
        return [Told(entry.part, self.book)]

    def context(self, *argv: str, ask: Callable[[str], str] = input) -> Context:
        parser = argparse.ArgumentParser()
        wishes.add(parser)
        wanted, problem = wishes.read(parser.parse_args(argv))
        assert not problem, problem
        return Context(
            self.options,
            wanted,
            FolderArchive(self.root / "archive", self.book),
            FakeUnits(self.root / "units", self.book),
            self.sources,
            ask,
        )

    def call(self, *argv: str, ask: Callable[[str], str] = input) -> tuple[int, str]:
        """Exit status, and what the one who stopped it said."""
        try:
            session.run(self.context(*argv, ask=ask))
        except Stop as stop:
            return stop.status, str(stop)
        return 0, ""

    def kept(self) -> list[Kept]:
        return all_kept(self.root / "work/aside")


def prepared(root: Path) -> RestoreStage:
    """A host with two parts, a backup of both from an hour ago, and other data since."""
    for name in ("parts", "units", "archive", "live", "work"):
        (root / name).mkdir()
    made = RestoreStage(root)
    parts = [made.part("alpha"), made.part("beta")]
    for part in parts:
        made.write(part.name, "saved")
    made.save(time.time() - 3600, *parts)
    for part in parts:
        made.write(part.name, "since")
    return made


@pytest.fixture
def host(tmp_path: Path) -> RestoreStage:
    return prepared(tmp_path)
