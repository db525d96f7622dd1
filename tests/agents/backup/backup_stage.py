"""A host in miniature: its parts, its stage, and a real repository at a local path."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lookout.backup import run
from lookout.backup.options import RunOptions, Store
from lookout.backup.parts import Part
from lookout.backup.reach import Client, Status
from lookout.backup.restic import Repository, Saved, Snapshot
from lookout.backup.save import Saver
from lookout.backup.sources import Facts, Source, SourceError
from lookout.backup.state import State, load
from lookout.kit.program import Kit

HOST = "app1"
PLENTY = Status(mounted=True, free_bytes=1 << 40, size_bytes=1 << 41, repository=True)


class Copied:
    """Copies the paths of a part, and does what a test has it do before."""

    name = "files"

    def __init__(self, part: Part, before: Callable[[Path], None] | None = None) -> None:
        self._part, self._before = part, before

    def bytes_needed(self) -> int:
        return sum(path.stat().st_size for path in self._part.paths)

    def save(self, folder: Path) -> None:
        if self._before:
            self._before(folder)
        for path in self._part.paths:
            if not path.exists():
                raise SourceError(f"{path} does not exist")
            shutil.copy2(path, folder / path.name)

    def describe(self, folder: Path) -> Facts:
        return {"names": sorted(file.name for file in folder.iterdir())}

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        raise NotImplementedError

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        raise NotImplementedError

    def undo(self, aside: Path) -> None:
        raise NotImplementedError

    def settle(self, aside: Path) -> None:
        raise NotImplementedError


class FolderRepository(Repository):
    """Keeps copies in a folder, for tests that are not about restic: it takes a second a run."""

    def __init__(self, options: RunOptions, folder: Path) -> None:
        super().__init__(options, HOST, [])
        self._folder = folder

    def run(
        self, *arguments: str, timeout_seconds: float, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        raise AssertionError(f"no restic here for {arguments}")

    def unlock(self, timeout_seconds: float = 300) -> None:
        self._folder.mkdir(exist_ok=True)

    def backup(
        self, folder: Path, tags: Sequence[str], timeout_seconds: float, options: Sequence[str] = ()
    ) -> Saved:
        number = len(list(self._folder.iterdir()))
        name = f"{number:064x}"[::-1]
        shutil.copytree(folder, self._folder / name)
        (self._folder / name / "tags").write_text("\n".join(tags))
        return Saved(name[:8], 1)

    def snapshots(self, timeout_seconds: float = 300) -> list[Snapshot]:
        found = sorted(self._folder.iterdir(), key=lambda one: one.name[::-1])
        return [
            Snapshot(one.name, number, HOST, tuple((one / "tags").read_text().splitlines()))
            for number, one in enumerate(found)
        ]


class LocalClient(Client):
    """A store that is a folder."""

    def __init__(self, options: RunOptions, repository: Repository) -> None:
        super().__init__(options)
        self._repository = repository
        self.answer: Status | Exception = PLENTY

    def repository(self, host: str) -> Repository:
        assert host == HOST
        return self._repository

    def _ask(self, host: str) -> Status:
        assert host == HOST
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Stage:
    """What a test has at hand."""

    root: Path
    options: RunOptions
    client: LocalClient
    reported: list[str] = field(default_factory=list)
    before: dict[str, Callable[[Path], None]] = field(default_factory=dict)

    def part(self, name: str, content: str = "", **keys: Any) -> Path:
        """Register a part with one file; that file."""
        data = self.root / f"{name}.data"
        data.write_text(content or f"what {name} has to keep\n")
        lines = [f"name: {name}", f"paths: [{data}]", *(f"{k}: {v}" for k, v in keys.items())]
        (self.options.parts_dir / f"{name}.yml").write_text("\n".join(lines) + "\n")
        return data

    def sources(self, part: Part) -> Sequence[Source]:
        return [Copied(part, self.before.get(part.name))]

    def run(self, *parts: str, now: float = 1_800_000_000.0, **changed: Any) -> int:
        arguments = argparse.Namespace(part=list(parts))
        kit = Kit("backup", self.options, arguments)
        kit.reports.message = lambda text, **_: self.reported.append(text)  # type: ignore[method-assign]
        saver = Saver(
            **{
                "host": HOST,
                "release": "bookworm",
                "run": now,
                "stage_dir": self.options.stage_dir,
                "reserve_bytes": 0,
                "pauses": (),
                "sources": self.sources,
                **changed,
            }
        )
        with run.locked(self.options.lock_file):
            return run.run(self.options, kit, self.client, saver)

    def state(self) -> State:
        state, wrong = load(self.options.state_file)
        assert not wrong
        return state

    def snapshots(self) -> list[Snapshot]:
        return self.client.repository(HOST).snapshots()

    def good(self) -> set[str]:
        """The parts that the newest record names as good."""
        found = self.snapshots()
        record = [one for one in found if "record" in one.tags][-1]
        return {one.part for one in found if one.id in record.good}

    def restored(self, snapshot: str) -> Path:
        target = self.root / "restored"
        shutil.rmtree(target, ignore_errors=True)
        self.client.repository(HOST).restore(snapshot, target, 60)
        return target

    def metrics(self) -> dict[str, float]:
        lines = self.options.metrics_file.read_text().splitlines()
        split = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in split}


@pytest.fixture(scope="session")
def new_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository to copy: its key takes a second to make."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / f"password_{HOST}").write_text("a password of the tests\n")
    subprocess.run(
        ["restic", "init", "--repository-version", "2", "--repo", str(folder / "repository"),
         "--password-file", str(folder / f"password_{HOST}"), "--no-cache"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return folder


def stage_at(root: Path) -> Stage:
    """A stage of which the folders are there, with a real repository."""
    options = RunOptions(
        instance=HOST,
        store=Store("store", "lookout-store", Path("/nonexistent")),
        cache_dir=root / "cache",
        parts_dir=root / "parts",
        stage_dir=root / "lib/stage",
        state_file=root / "lib/state.json",
        lock_file=root / "lib/lock",
        metrics_file=root / "backup.prom",
        reserve_megabytes=0,
        retry_seconds=(),
    )
    way = ["--repo", str(root / "keys/repository")]
    return Stage(root, options, LocalClient(options, Repository(options, HOST, way)))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    for folder in ("parts", "lib", "cache"):
        (tmp_path / folder).mkdir()
    made = stage_at(tmp_path)
    made.client = LocalClient(made.options, FolderRepository(made.options, tmp_path / "kept"))
    return made


@pytest.fixture
def real_stage(stage: Stage, new_repository: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    shutil.copytree(new_repository, stage.root / "keys")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(stage.root / "keys"))
    return stage_at(stage.root)
