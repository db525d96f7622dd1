"""restic, called with its secrets in files, by a way that can only add to the repository."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lookout.backup.options import BackupOptions, Store, credential

log = logging.getLogger("lookout.backup")

# Exit statuses of restic that mean something; only the first is a success.
SAVED, FAILED, INCOMPLETE = 0, 1, 3
# What a snapshot is tagged with: part=NAME and bytes=SIZE of the copy; the record of a run with
# `record`, names=PART of each part that it was about, good=ID of each that was saved, and `whole`
# or `partial`: whether it was about all parts that the host has, or chosen ones.
PART, BYTES, RECORD, NAMES, GOOD = "part=", "bytes=", "record", "names=", "good="
WHOLE, PARTIAL = "whole", "partial"
# Of the record of a run that left an upload behind for the next one to go on with
UNFINISHED = "unfinished"
# What restic says when the way to the store broke, or when somebody prunes: it passes.
_PASSES = re.compile(
    r"error talking HTTP to rclone|rclone (exited|stdio connection)|unexpected EOF|ssh: connect"
    r"|[Cc]onnection (refused|reset|closed|timed out)|[Bb]roken pipe|client connection lost"
    r"|repository is already locked"
)


class ResticError(Exception):
    """restic did not do what it should. `status` is its exit status, -1 if it was ended."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def passes(error: Exception) -> bool:
    """Whether another try may succeed: the way broke, or the repository was locked."""
    return isinstance(error, ResticError) and bool(_PASSES.search(str(error)))


def is_locked(error: Exception) -> bool:
    """Whether the store is looking after the repository, which takes as long as it takes."""
    return isinstance(error, ResticError) and "repository is already locked" in str(error)


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
    def bytes(self) -> int | None:
        """The size of the copy, as far as the snapshot tells."""
        found = next((tag.removeprefix(BYTES) for tag in self.tags if tag.startswith(BYTES)), "")
        return int(found) if re.fullmatch(r"[0-9]{1,18}", found) else None

    @property
    def good(self) -> tuple[str, ...]:
        """Of the record of a run: the snapshots that were saved without an error."""
        return tuple(tag.removeprefix(GOOD) for tag in self.tags if tag.startswith(GOOD))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the record of a run: the parts that it was about, saved or not."""
        return tuple(tag.removeprefix(NAMES) for tag in self.tags if tag.startswith(NAMES))


@dataclass(frozen=True)
class Saved:
    """What `restic backup` says of a snapshot that it made."""

    # As restic prints it, which 0.14 does in short
    snapshot: str
    added_bytes: int


def snapshots_of(text: str) -> list[Snapshot]:
    """The snapshots of `restic snapshots --json`, the oldest first."""
    found = []
    for one in json.loads(text) or []:
        try:
            time = datetime.fromisoformat(one["time"]).timestamp()
        except (ValueError, OverflowError):
            # One such, which whoever broke into a host can add, must not hide all the others.
            log.warning("snapshot %s is passed over: its time is %s", one["id"][:8], one["time"])
            continue
        host, tags = one.get("hostname", ""), tuple(one.get("tags") or ())
        found.append(Snapshot(one["id"], time, host, tags, one.get("original") or ""))
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


def way_by_ssh(store: Store, host: str) -> list[str]:
    """Options of restic that lead to the repository of a host at the store."""
    # restic adds the arguments and the repository's name: `serve HOST` is what the store hears.
    program = ["-o", f"rclone.program={shlex.join(ssh(store))}"]
    return [*program, "-o", "rclone.args=serve", "--repo", f"rclone:{host}"]


class Repository:
    """The repository of one host at the store."""

    def __init__(self, options: BackupOptions, host: str, way: Sequence[str] | None = None) -> None:
        """`way`: options of restic that lead to it, where that is not the way of the site."""
        self.host = host
        self._options = options
        self._way = way_by_ssh(options.store, host) if way is None else list(way)

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
        way = list(self._way)
        if self._options.limit_upload_kib:
            way += ["--limit-upload", str(self._options.limit_upload_kib)]
        try:
            return subprocess.run(
                ["restic", *way, *arguments],
                env=environment,
                cwd=cwd,
                text=True,
                # It names files as they are called.
                errors="replace",
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

    def backup(
        self,
        folder: Path,
        tags: Sequence[str],
        timeout_seconds: float,
        options: Sequence[str] = (),
    ) -> Saved:
        """Save what is in `folder` as one snapshot. Raises ResticError unless all of it was."""
        tagged = [word for tag in tags for word in ("--tag", tag)]
        done = self.run(
            *("backup", ".", "--json", "--host", self.host, *tagged, *options),
            timeout_seconds=timeout_seconds,
            cwd=folder,
        )
        if done.returncode != SAVED:
            raise ResticError(_reason("backup", done), done.returncode)
        return saved_of(done.stdout)

    def unlock(self, timeout_seconds: float = 300) -> None:
        """Take away locks of who is no more: on this host, or not renewed for half an hour."""
        done = self.run("unlock", timeout_seconds=timeout_seconds)
        if done.returncode != SAVED:
            raise ResticError(_reason("unlock", done), done.returncode)


def saved_of(text: str) -> Saved:
    """The summary of `restic backup --json`. Raises ResticError where there is none."""
    for line in reversed(text.splitlines()):
        try:
            said = json.loads(line)
            if said["message_type"] == "summary":
                return Saved(str(said["snapshot_id"]), int(said["data_added"]))
        except (ValueError, KeyError, TypeError):
            continue
    raise ResticError("restic backup ended with 0, but names no snapshot", FAILED)


def _reason(verb: str, done: subprocess.CompletedProcess[str]) -> str:
    """Why restic failed: the end of what it said, for the log."""
    lines = [_plain(line) for line in (done.stderr.strip() or done.stdout.strip()).splitlines()]
    last = [line for line in lines if line][-4:] or ["it said nothing"]
    return f"restic {verb} ended with {done.returncode}: {' / '.join(last)}"


def _plain(line: str) -> str:
    """A line of restic's; with --json it says errors so, in a form that changes by release."""
    try:
        said = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(said, dict):
        return line.strip()
    if said.get("message_type") not in ("error", "exit_error"):
        return ""
    error = said.get("error")
    what = error.get("message") or json.dumps(error) if isinstance(error, dict) else error
    return " ".join(str(one) for one in (said.get("message"), said.get("item"), what) if one)
