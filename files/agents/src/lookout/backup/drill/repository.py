"""A repository as a drill sees it: what goes wrong is told apart, the backup's fault or not."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lookout.backup.options import BackupOptions, credential
from lookout.backup.reach import Client, StoreError
from lookout.backup.restic import ResticError, Snapshot, passes
from lookout.backup.sources import CannotJudgeError

T = TypeVar("T")

LIST_SECONDS, CHECK_SECONDS = 900.0, 7200.0

# What restic says of troubles on this side
_HERE = re.compile(
    r"no space left on device|cannot allocate memory|disk quota exceeded|too many open files", re.I
)
_WRONG_PASSWORD = re.compile(r"wrong password or no key found", re.I)


class BadBackupError(Exception):
    """What is wrong with a backup."""


class Judged:
    """The repository of one host. Raises BadBackupError and CannotJudgeError, and no other."""

    def __init__(self, options: BackupOptions, host: str, cache: Path) -> None:
        # An old cache would hide what is damaged at the store; this one is new and goes again.
        own = dataclasses.replace(options, cache_dir=cache)
        self.host = host
        self._client = Client(own)
        self._repository = self._client.repository(host)
        self._indexes: set[str] = set()

    def look(self) -> None:
        """Ask whether the store is there, and has the repository."""
        for name in ("ssh_key", f"password_{self.host}"):
            if not credential(name).exists():
                raise CannotJudgeError(f"this host has no {name}: run the role restore_drill on it")
        try:
            status = self._client.status(self.host)
        except StoreError as error:
            raise CannotJudgeError(str(error)) from error
        except OSError as error:
            raise CannotJudgeError(f"ssh cannot be run here: {error}") from error
        if not status.mounted:
            raise CannotJudgeError("the store says that its disk is not mounted")
        if not status.repository:
            raise BadBackupError(f"the store has no repository of {self.host}")

    def list(self) -> list[Snapshot]:
        """All snapshots, the oldest first."""
        self._indexes = self._told_apart(self._list_indexes)
        return self._told_apart(lambda: self._repository.snapshots(LIST_SECONDS))

    def check(self) -> None:
        """Have restic look whether all files are there, as long as they were, and lead to another.

        A restore would try to get each lost one for a minute.
        """
        asked = ("check", "--no-lock", "--with-cache")
        self._told_apart(lambda: self._repository.ask(*asked, timeout_seconds=CHECK_SECONDS))

    def size(self, snapshot: Snapshot) -> int:
        """How many bytes a snapshot has when it is restored."""
        asked = ("stats", snapshot.id, "--no-lock", "--mode", "restore-size")
        text = self._told_apart(lambda: self._repository.ask(*asked, timeout_seconds=LIST_SECONDS))
        return int(json.loads(text)["total_size"])

    def restore(self, snapshot: Snapshot, target: Path, timeout_seconds: float) -> None:
        """Restore a snapshot, and have restic read back what it wrote."""
        self._told_apart(lambda: self._repository.restore(snapshot.id, target, timeout_seconds))

    def _told_apart(self, call: Callable[[], T]) -> T:
        try:
            return self._once_more(call)
        except ResticError as error:
            raise self._blame(error) from error
        except OSError as error:
            raise CannotJudgeError(f"restic cannot be run here: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise CannotJudgeError(f"restic's answer is not understood: {error!r}") from error

    @staticmethod
    def _once_more(call: Callable[[], T]) -> T:
        """A way that broke once is no bad backup."""
        try:
            return call()
        except ResticError as error:
            if not passes(error):
                raise
        return call()

    def _blame(self, error: ResticError) -> Exception:
        """The backup is to blame unless restic was ended, this host has a trouble, or the store."""
        said = str(error)
        if error.status < 0 or _HERE.search(said):
            return CannotJudgeError(said)
        if _WRONG_PASSWORD.search(said):
            # Whoever has to restore has no other one.
            return BadBackupError(
                f"{said}: the password that the control node keeps (secrets/backup_{self.host}) "
                "does not open the repository"
            )
        try:
            self.look()
        except (BadBackupError, CannotJudgeError) as gone:
            return type(gone)(f"{gone}; {said}")
        if self._has_moved():
            # Whoever prunes takes packs away that the index of before names.
            return CannotJudgeError(
                f"{said}; meanwhile somebody wrote to the repository: drill once more"
            )
        return BadBackupError(said)

    def _list_indexes(self) -> set[str]:
        asked = ("list", "index", "--no-lock")
        return set(self._repository.ask(*asked, timeout_seconds=LIST_SECONDS).split())

    def _has_moved(self) -> bool:
        """Whether there are other indexes than at the beginning."""
        try:
            return bool(self._indexes) and self._list_indexes() != self._indexes
        except (ResticError, OSError):
            return False
