"""Who was validated when, read from a directory that others write to.

Whoever is in the group of writers may put anything there: links, pipes, files in others' names. So
the directory is opened step by step, nothing in it is followed, and a file counts only if it
belongs to somebody who may validate that process. The time that counts is the kernel's (ctime),
which nobody can set; what stands in the file may make the validation older, never younger.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lookout.watchdog.processes import Key

NAME = re.compile(
    r"(?P<pid>[1-9][0-9]{0,8})-(?P<created>[0-9]{1,19}(?P<fraction>\.[0-9]{1,9})?)(?:\.[0-9a-f]{16})?"
)
# How the writer goes round a name that somebody else has taken
BESIDE = re.compile(r".+\.[0-9a-f]{16}")
CONTENT = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,9})?\s*")
MOST_BYTES = 64
MOST_ENTRIES = 10_000
# Between the writer's look at its clock and the kernel's there are no two seconds.
MOST_AHEAD_SECONDS = 2.0
# A file that is being written has a name with a dot in front, and not for long.
UNFINISHED_SECONDS = 60.0


class UnsafeDirectoryError(Exception):
    """The directory is not there, or somebody could have put another one in its place."""


@dataclass(frozen=True)
class Found:
    """A file that may be a validation: whose it is, and what it says.

    `created` is in ticks since boot, or in seconds since 1970 if `in_seconds`.
    """

    name: str
    pid: int
    created: float
    in_seconds: bool
    owner: int
    # When the kernel saw it written, and how much older the writer says that the validation is
    written: float
    lag_seconds: float
    inode: int


@dataclass
class Listing:
    """What one look at the directory brought."""

    found: list[Found] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    # Names to take away: refused, or left unfinished
    junk: list[str] = field(default_factory=list)
    # Whether there is more, so that a validation may be among what was not looked at
    too_many: bool = False


@dataclass(frozen=True)
class Refused:
    """Why a file is no validation, in one word."""

    reason: str
    # Whether it can become one: somebody may be writing it.
    is_final: bool = True


def parse_name(name: str) -> tuple[int, float, bool] | None:
    """Process, its create time, and whether that is seconds since 1970; None for another name."""
    match = NAME.fullmatch(name)
    if not match:
        return None
    in_seconds = match["fraction"] is not None
    created = float(match["created"]) if in_seconds else int(match["created"])
    return int(match["pid"]), created, in_seconds


def parse_content(content: bytes) -> float | None:
    """Seconds since 1970; None for anything else."""
    return float(content) if CONTENT.fullmatch(content) else None


@contextlib.contextmanager
def open_directory(path: Path, owners: frozenset[int]) -> Iterator[int]:
    """Give a descriptor of the directory; UnsafeDirectoryError where others could have made it.

    Each folder on the way has to belong to root or one of the owners, and may be written by others
    only if it is sticky, so that nobody can move what is another's. The directory itself may be
    written by its group, sticky as well, and by nobody else.
    """
    descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for index, part in enumerate(path.parts[1:], 2):
            here = "/".join(path.parts[:index]).replace("//", "/")
            last = index == len(path.parts)
            flags = os.O_RDONLY if last else os.O_PATH
            flags |= os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                below = os.open(part, flags, dir_fd=descriptor)
            except OSError as error:
                raise UnsafeDirectoryError(f"{here}: {error.strerror}") from error
            os.close(descriptor)
            descriptor = below
            _check(os.fstat(descriptor), here, owners, last)
        yield descriptor
    finally:
        os.close(descriptor)


def _check(status: os.stat_result, path: str, owners: frozenset[int], last: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in owners | {0}:
        raise UnsafeDirectoryError(f"{path}: belongs to user {status.st_uid}")
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise UnsafeDirectoryError(
            f"{path}: others may write to it, and it is not sticky ({mode:o})"
        )
    if last and mode & 0o002:
        raise UnsafeDirectoryError(f"{path}: everybody may write to it ({mode:o})")


def list_directory(descriptor: int, now: float) -> Listing:
    """What is in an open directory; `now` is the time of day."""
    listing = Listing()
    with os.scandir(descriptor) as entries:
        names = [entry.name for entry, _ in zip(entries, range(MOST_ENTRIES + 1), strict=False)]
    listing.too_many = len(names) > MOST_ENTRIES
    for name in names[:MOST_ENTRIES]:
        if name.startswith("."):
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                wrong = _kind(status)
                if wrong:
                    listing.refused[wrong] += 1
                if wrong or abs(now - status.st_ctime) > UNFINISHED_SECONDS:
                    listing.junk.append(name)
            continue
        try:
            found = _look(descriptor, name, now)
        except FileNotFoundError:
            continue
        except OSError:
            found = Refused("no_file")  # a socket, a link since the look at it
        if isinstance(found, Found):
            listing.found.append(found)
        else:
            listing.refused[found.reason] += 1
            if found.is_final:
                listing.junk.append(name)
    if listing.too_many:
        listing.refused["too_many"] += 1
    return listing


def _look(descriptor: int, name: str, now: float) -> Found | Refused:
    parsed = parse_name(name)
    if parsed is None:
        return Refused("name")
    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    wrong = _kind(status)
    if wrong:
        return Refused(wrong)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        file = os.open(name, flags, dir_fd=descriptor)
    except PermissionError:
        # Its writer keeps it to himself. The kernel's time is there all the same.
        return Found(name, *parsed, status.st_uid, status.st_ctime, 0.0, status.st_ino)
    try:
        # Another file may stand under the name by now.
        status, content = os.fstat(file), os.read(file, MOST_BYTES + 1)
    finally:
        os.close(file)
    wrong = _kind(status)
    said = parse_content(content)
    if not wrong and said is None:
        return Refused("content", is_final=abs(now - status.st_ctime) > UNFINISHED_SECONDS)
    ahead = (said or 0.0) - status.st_ctime
    if wrong or ahead > MOST_AHEAD_SECONDS:
        return Refused(wrong or "future")
    return Found(name, *parsed, status.st_uid, status.st_ctime, max(0.0, -ahead), status.st_ino)


def _kind(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "symlink"
    if not stat.S_ISREG(status.st_mode):
        return "no_file"
    if status.st_nlink != 1:
        return "hard_link"
    return "size" if status.st_size > MOST_BYTES else ""


def superseded(counting: Iterable[tuple[Key, Found]]) -> list[str]:
    """Names of files beside the usual one that a younger validation of the same process replaced.

    The usual name stays: somebody may be putting the next validation there just now.
    """
    newest: dict[Key, float] = {}
    files = list(counting)
    for key, file in files:
        newest[key] = max(file.written - file.lag_seconds, newest.get(key, float("-inf")))
    return [
        file.name
        for key, file in files
        if BESIDE.fullmatch(file.name) and file.written - file.lag_seconds < newest[key]
    ]


def remove(descriptor: int, names: list[str], failed: Callable[[str, OSError], None]) -> None:
    """Take files away. What is a link goes as such; a folder stays unless it is empty."""
    for name in names:
        try:
            try:
                os.unlink(name, dir_fd=descriptor)
            except IsADirectoryError:
                os.rmdir(name, dir_fd=descriptor)
        except FileNotFoundError:
            continue
        except OSError as error:
            failed(name, error)
