"""A copy, fetched from the repository and judged; nothing live is touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lookout.backup import manifest
from lookout.backup.manifest import Manifest, ManifestError
from lookout.backup.restic import Repository, ResticError, Snapshot
from lookout.backup.sources import CannotJudgeError, Source, SourceError, commands

_ASK_SECONDS = 600


class CopyError(Exception):
    """Why a copy is not put back. `cannot_judge`: it may be good, nobody here can tell."""

    def __init__(self, message: str, cannot_judge: bool = False) -> None:
        super().__init__(message)
        self.cannot_judge = cannot_judge


class Archive(Protocol):
    """The backups of one host."""

    host: str

    def snapshots(self) -> list[Snapshot]:
        """All of them, the oldest first."""

    def manifest(self, snapshot: str) -> Manifest:
        """The manifest of one, without the rest of it. Raises ManifestError."""

    def size(self, snapshot: Snapshot) -> int:
        """Bytes that it takes when it is restored."""

    def restore(self, snapshot: str, folder: Path, timeout_seconds: float) -> None:
        """Write it into a folder."""


class Restic:
    """The backups of one host at the store."""

    def __init__(self, repository: Repository) -> None:
        self.host = repository.host
        self._repository = repository

    def snapshots(self) -> list[Snapshot]:
        """All of them, the oldest first."""
        return self._repository.snapshots()

    def manifest(self, snapshot: str) -> Manifest:
        """The manifest of one, without the rest of it. Raises ManifestError."""
        name = f"/{manifest.NAME}"
        done = self._repository.run(
            "dump", "--no-lock", snapshot, name, timeout_seconds=_ASK_SECONDS
        )
        if done.returncode != 0:
            raise ManifestError(f"{manifest.NAME} cannot be had: {commands.said(done.stderr)}")
        return manifest.parse(done.stdout)

    def size(self, snapshot: Snapshot) -> int:
        """Bytes that it takes when it is restored."""
        if snapshot.bytes is not None:
            return snapshot.bytes
        said = self._repository.ask(
            *("stats", "--no-lock", "--mode", "restore-size", snapshot.id),
            timeout_seconds=_ASK_SECONDS,
        )
        try:
            return int(json.loads(said)["total_size"])
        except (ValueError, KeyError, TypeError) as error:
            raise ResticError(f"restic stats says no size: {said[:200]!r}", 0) from error

    def restore(self, snapshot: str, folder: Path, timeout_seconds: float) -> None:
        """Write it into a folder."""
        self._repository.restore(snapshot, folder, timeout_seconds)


def fetch(archive: Archive, snapshot: str, folder: Path, timeout_seconds: float) -> None:
    """Make the private folder hold the copy and nothing else."""
    forget(folder)
    folder.mkdir(mode=0o700, parents=True)
    archive.restore(snapshot, folder, timeout_seconds)
    # The root of the snapshot brings a mode of its own.
    folder.chmod(0o700)


def forget(folder: Path) -> None:
    """Take a folder away, with all that is in it."""
    if folder.exists():
        shutil.rmtree(folder)


def told(folder: Path) -> Manifest:
    """The manifest of a fetched copy. Raises CopyError."""
    try:
        return manifest.read(folder)
    except ManifestError as error:
        raise CopyError(str(error)) from error


def judge(folder: Path, sources: Sequence[Source], scratch: Path) -> None:
    """Raise CopyError unless a fetched copy is good."""
    found = told(folder)
    problems = []
    for source in sources:
        if source.name not in found.facts:
            problems.append(f"{source.name}: the manifest tells nothing of it")
            continue
        own = scratch / source.name
        forget(own)
        own.mkdir(mode=0o700, parents=True)
        try:
            problems += [
                f"{source.name}: {problem}"
                for problem in source.judge(folder / source.name, found.facts[source.name], own)
            ]
        except CannotJudgeError as error:
            raise CopyError(f"{source.name}: {error}", cannot_judge=True) from error
        except (SourceError, OSError) as error:
            problems.append(f"{source.name}: {error}")
        finally:
            forget(own)
    if problems:
        raise CopyError("; ".join(problems))


def check(command: Sequence[str], files: Path, timeout_seconds: float) -> str:
    """Why the part's own check does not hold for what is below `files`; empty where it does."""
    ending = commands.attempt(command, timeout_seconds, files)
    return f"the check {ending.problem}" if ending.problem else ""
