"""restic, called with its secrets in files, by a way that can only add to the repository."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lookout.backup.options import BackupOptions, Store, credential

# Exit statuses of restic that mean something; only the first is a success.
SAVED, FAILED, INCOMPLETE = 0, 1, 3
# What a snapshot is tagged with: part=NAME; the record of a run with `record` and good=ID of each
# part that was saved.
PART, RECORD, GOOD = "part=", "record", "good="


class ResticError(Exception):
    """restic did not do what it should. `status` is its exit status, -1 if it was ended."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Snapshot:
    """One snapshot of a repository."""

    id: str
    time: float
    host: str
    tags: tuple[str, ...]
    # Of one that was copied: its id where it was made, by which records name it
    original: str = ""

    @property
    def part(self) -> str:
        """The part that it holds; empty for the record of a run."""
        return next((tag.removeprefix(PART) for tag in self.tags if tag.startswith(PART)), "")

    @property
    def good(self) -> tuple[str, ...]:
        """Of the record of a run: the snapshots that were saved without an error."""
        return tuple(tag.removeprefix(GOOD) for tag in self.tags if tag.startswith(GOOD))


def snapshots_of(text: str) -> list[Snapshot]:
    """The snapshots of `restic snapshots --json`, the oldest first."""
    found = [
        Snapshot(
            one["id"],
            datetime.fromisoformat(one["time"]).timestamp(),
            one.get("hostname", ""),
            tuple(one.get("tags") or ()),
            one.get("original") or "",
        )
        for one in json.loads(text) or []
    ]
    return sorted(found, key=lambda snapshot: snapshot.time)


def ssh(store: Store, verb: str = "") -> list[str]:
    """The command that reaches the store; `verb` is what its forced command is asked for."""
    return [
        *("ssh", "-F", "none", "-p", str(store.port), "-i", str(credential("ssh_key"))),
        *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"),
        *("-o", f"UserKnownHostsFile={store.known_hosts}", "-o", "GlobalKnownHostsFile=none"),
        *("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
        f"{store.user}@{store.address}",
        *([verb] if verb else []),
    ]


class Repository:
    """The repository of one host at the store."""

    def __init__(self, options: BackupOptions, host: str) -> None:
        self.host = host
        self._options = options

    def run(
        self, *arguments: str, timeout_seconds: float, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run restic to its end, whatever its exit status. Raises ResticError when it is ended."""
        environment = {
            **os.environ,
            "RESTIC_PASSWORD_FILE": str(credential(f"password_{self.host}")),
            "RESTIC_CACHE_DIR": str(self._options.cache_dir / self.host),
            # It collects its garbage sooner: half the memory for a little more time.
            "GOGC": "25",
            "RESTIC_PROGRESS_FPS": "0.016",
        }
        # restic adds the arguments and the repository's name: `serve HOST` is what the store hears.
        way = ["-o", f"rclone.program={shlex.join(ssh(self._options.store))}"]
        way += ["-o", "rclone.args=serve", "--repo", f"rclone:{self.host}"]
        if self._options.limit_upload_kib:
            way += ["--limit-upload", str(self._options.limit_upload_kib)]
        try:
            return subprocess.run(
                ["restic", *way, *arguments],
                env=environment,
                cwd=cwd,
                text=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ResticError(
                f"restic {arguments[0]} took longer than {timeout_seconds:.0f} s", -1
            ) from error

    def ask(self, *arguments: str, timeout_seconds: float) -> Any:
        """What restic prints with --json. Raises ResticError unless it ends with 0."""
        done = self.run(*arguments, "--json", timeout_seconds=timeout_seconds)
        if done.returncode != SAVED:
            raise ResticError(_reason(arguments[0], done), done.returncode)
        return done.stdout

    def snapshots(self, timeout_seconds: float = 300) -> list[Snapshot]:
        """All snapshots, the oldest first; reading takes no lock."""
        return snapshots_of(self.ask("snapshots", "--no-lock", timeout_seconds=timeout_seconds))

    def restore(self, snapshot: str, target: Path, timeout_seconds: float) -> None:
        """Write a snapshot below `target`, and read back what was written."""
        done = self.run(
            *("restore", snapshot, "--no-lock", "--target", str(target), "--verify"),
            timeout_seconds=timeout_seconds,
        )
        if done.returncode != SAVED:
            raise ResticError(_reason("restore", done), done.returncode)


def _reason(verb: str, done: subprocess.CompletedProcess[str]) -> str:
    last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-3:]
    return f"restic {verb} ended with {done.returncode}: {' / '.join(last)}"
