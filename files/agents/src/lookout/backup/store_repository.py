"""restic at the store: on the folder itself, as the user that owns it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lookout.backup.restic import ResticError, Snapshot, snapshots_of
from lookout.backup.store_options import Copy, StoreOptions, credential

log = logging.getLogger("lookout.backup.store")

# From SIGTERM to SIGKILL
END_SECONDS = 20
# Identifiers of one `restic forget`: argument lists have an end.
MOST_AT_ONCE = 200
LOCKED = "already locked"
# A check writes a lock: what a full disk says of the data is nothing.
FULL = "no space left on device"


class Clock:
    """The time that a run has left, of a clock that nobody sets."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; not less than 0."""
        return max(0.0, self._until - time.monotonic())


class Locks:
    """The locks of a repository that is a folder, and since when each of them is known.

    restic asks for the age of a lock by its clock, and for its owner by a signal, which the store's
    user may not send to root: it would take a living lock of its own host for dead. A living one is
    made anew every five minutes under another name, so that one which stays is nobody's.
    """

    def __init__(self, folder: Path, dead_seconds: float) -> None:
        self._folder = folder / "locks"
        self._dead_seconds = dead_seconds
        self._seen: dict[str, float] = {}
        self.look()

    def look(self) -> set[str]:
        """The locks that are there now."""
        found: set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            found = {entry.name for entry in os.scandir(self._folder)}
        now = time.monotonic()
        self._seen = {name: self._seen.get(name, now) for name in found}
        return found

    def take_dead_away(self) -> int:
        """Delete those that have stayed for too long; says how many."""
        self.look()
        before = time.monotonic() - self._dead_seconds
        dead = [name for name, since in self._seen.items() if since <= before]
        for name in dead:
            log.warning("takes a lock away that nobody has renewed: %s", name[:8])
            (self._folder / name).unlink(missing_ok=True)
        return len(dead)


def _run(
    argv: list[str], environment: Mapping[str, str], sent: str | None, timeout_seconds: float
) -> subprocess.CompletedProcess[str] | None:
    """A command to its end; None where it had to be ended, so that it can take its lock away."""
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.PIPE if sent is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            out, err = process.communicate(sent, timeout_seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            return None
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


class Kept:
    """One repository at the store, or its copy elsewhere."""

    def __init__(self, where: str, host: str, clock: Clock, environment: Mapping[str, str]) -> None:
        self.where = where
        self.host = host
        self._clock = clock
        self._environment = environment
        # Flags that come before the verb. Of a folder a cache would be a second copy of it.
        self.flags: tuple[str, ...] = ("--no-cache",)

    def run(self, *arguments: str, sent: str | None = None) -> str:
        """What restic printed. Raises ResticError unless it ended with 0."""
        verb = arguments[0]
        done = _run(
            ["restic", "--repo", self.where, *self.flags, *arguments],
            {**os.environ, "GOGC": "25", **self._environment},
            sent,
            max(1.0, self._clock.left()),
        )
        if done is None:
            raise ResticError(f"restic {verb}: the time of this run is over", -1)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
            words = " / ".join(line.strip() for line in said if line.strip())
            raise ResticError(
                f"restic {verb} ended with {done.returncode}: {words[:600]}", done.returncode
            )
        return done.stdout

    def snapshots(self) -> list[Snapshot]:
        """All of them, the oldest first."""
        return snapshots_of(self.run("snapshots", "--json", "--no-lock"))

    def forget(self, ids: list[str]) -> None:
        """Take exactly these away; their data stays until `prune`."""
        for first in range(0, len(ids), MOST_AT_ONCE):
            self.run("forget", *ids[first : first + MOST_AT_ONCE])

    def identity(self) -> str:
        """The repository's own id, which it has for life."""
        return str(json.loads(self.run("cat", "config", "--no-lock"))["id"])


def patiently(act: Callable[[], None], locks: Locks, clock: Clock, wait_seconds: float = 5) -> None:
    """Do it as soon as no lock is in the way. Raises ResticError, also for a lock that lives on."""
    while True:
        try:
            act()
            return
        except ResticError as error:
            if LOCKED not in str(error):
                raise
            if locks.take_dead_away():
                continue
            if clock.left() <= wait_seconds:
                raise ResticError(
                    f"a lock lives on, nothing was done: {error}", error.status
                ) from error
        time.sleep(wait_seconds)


def at_store(options: StoreOptions, host: str, clock: Clock) -> Kept:
    """The repository of a host."""
    environment = {"RESTIC_PASSWORD_FILE": str(credential(f"password_{host}"))}
    return Kept(str(options.path / host), host, clock, environment)


def elsewhere(to: Copy, host: str, clock: Clock) -> Kept:
    """The second copy of a host's repository, which has the same password."""
    password = str(credential(f"password_{host}"))
    environment = {"RESTIC_PASSWORD_FILE": password, "RESTIC_FROM_PASSWORD_FILE": password}
    cloud = credential("copy_credentials")
    if to.to.startswith("s3:") and cloud.exists():
        environment["AWS_SHARED_CREDENTIALS_FILE"] = str(cloud)
    kept = Kept(f"{to.to.rstrip('/')}/{host}", host, clock, environment)
    if to.to.startswith("sftp:"):
        kept.flags = ("-o", f"sftp.command={shlex.join(_sftp(to))}")
    elif to.to.startswith("s3:"):
        kept.flags = ()
    return kept


def _sftp(to: Copy) -> list[str]:
    return [
        *("ssh", "-F", "none", "-p", str(to.port), "-i", str(credential("copy_ssh_key"))),
        *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"),
        *("-o", f"UserKnownHostsFile={to.known_hosts}", "-o", "GlobalKnownHostsFile=none"),
        *("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15"),
        *(to.to.removeprefix("sftp:").partition(":")[0], "-s", "sftp"),
    ]


def begin(options: StoreOptions, host: str, password: str, expected: str, *, anew: bool) -> str:
    """The id of the host's repository, which is made where the site has never had one.

    `expected` is the id that the site has on record, empty for none. Raises ResticError where that
    one is missing or another one is in its place, unless it is to begin `anew`: what is there is
    then set aside, never deleted.
    """
    folder = options.path / host
    clock = Clock(600)
    # From a pipe: the password is not on the host's disk before it is known to fit.
    way = {"RESTIC_PASSWORD_FILE": "/dev/stdin"}
    found = ""
    if (folder / "config").exists():
        try:
            shown = Kept(str(folder), host, clock, way).run(
                "cat", "config", "--no-lock", sent=password
            )
            found = str(json.loads(shown)["id"])
        except ResticError as error:
            if not anew:
                raise ResticError(
                    f"{folder} does not open with the site's password: {error}", 1
                ) from error
    if found and found == (expected or found):
        return found
    if expected and not anew:
        what = f"{folder} is another repository ({found[:8]})" if found else f"{folder} is missing"
        raise ResticError(f"{what}; the site has {expected[:8]} on record", 1)
    if folder.exists():
        folder.rename(options.path / f".aside-{host}-{int(time.time())}")
    fresh = options.path / f".new-{host}"
    shutil.rmtree(fresh, ignore_errors=True)
    made = Kept(str(fresh), host, clock, way)
    made.run("init", sent=password)
    shown = made.run("cat", "config", "--no-lock", sent=password)
    # Whole or not there: a run that is killed begins this again.
    fresh.rename(folder)
    return str(json.loads(shown)["id"])
