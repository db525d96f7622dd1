"""Trees of files: copied with all that belongs to them, and told about."""

from __future__ import annotations

import errno
import fcntl
import fnmatch
import grp
import hashlib
import os
import pwd
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lookout.backup.sources import SourceError

# Linux' request to share the blocks of a file (ioctl_ficlone(2))
FICLONE = 0x40049409
# A file that changes while it is copied is copied again, after these seconds; the last are none.
PAUSES = (0.2, 1.0, 3.0, 0.0)
CHUNK_BYTES = 1 << 20

# Path below a folder -> what there is to know of it
Entries = dict[str, dict[str, Any]]


def excluded(path: Path, patterns: Sequence[str]) -> bool:
    """Whether the name or the whole path is one that is left out."""
    return any(
        fnmatch.fnmatchcase(str(path) if "/" in pattern else path.name, pattern)
        for pattern in patterns
    )


def walk(top: Path, patterns: Sequence[str] = ()) -> Iterator[tuple[Path, os.stat_result]]:
    """A tree's folders, files and links, each folder before what is in it; no links followed.

    What vanishes meanwhile is not there; `top` itself has to be.
    """
    about = top.lstat()
    yield top, about
    if stat.S_ISDIR(about.st_mode):
        yield from _below(top, patterns)


def _below(folder: Path, patterns: Sequence[str]) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        path = folder / name
        try:
            about = path.lstat()
        except FileNotFoundError:
            continue
        if excluded(path, patterns) or not _is_data(about):
            continue
        yield path, about
        if stat.S_ISDIR(about.st_mode):
            yield from _below(path, patterns)


def _is_data(about: os.stat_result) -> bool:
    """Sockets, pipes and devices are made by who uses them."""
    return stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode) or stat.S_ISLNK(about.st_mode)


def size(top: Path, patterns: Sequence[str] = ()) -> int:
    """About what a copy of the tree takes on a disk."""
    return sum(max(about.st_size, 4096) for _, about in walk(top, patterns))


def copy(
    source: Path,
    target: Path,
    patterns: Sequence[str] = (),
    owner: Callable[[Path, os.stat_result], tuple[int, int]] | None = None,
    *,
    link: bool = False,
) -> int:
    """Copy a tree, with modes, times, attributes, and as root with owners; returns its files.

    `owner` says whose each copy is, by default whose the original is. With `link` files are the
    same ones under a second name where the filesystem allows it. Raises SourceError when nothing
    is left of a tree that had something.
    """
    copied = vanished = 0
    folders: list[tuple[Path, Path, os.stat_result]] = []
    for path, about in walk(source, patterns):
        to = target / path.relative_to(source) if path != source else target
        if stat.S_ISDIR(about.st_mode):
            to.mkdir(mode=0o700)
            folders.append((path, to, about))
            continue
        try:
            linked = _copied(path, to, about, link=link)
            # A second name has all that the first one has; and if another file has taken the place
            # of the one that was looked at, it must not get that one's owner.
            if owner or not linked:
                _dress(path, to, owner(path, about) if owner else (about.st_uid, about.st_gid))
            copied += 1
        except FileNotFoundError:
            if path == source:
                raise
            to.unlink(missing_ok=True)
            vanished += 1
    # At last, as what is written into a folder changes its time, and a mode may forbid it
    for path, to, about in reversed(folders):
        try:
            _dress(path, to, owner(path, about) if owner else (about.st_uid, about.st_gid))
        except FileNotFoundError:
            os.chmod(to, stat.S_IMODE(about.st_mode))
    if vanished and not copied:
        raise SourceError(f"{source}: all of its {vanished} files vanished while it was copied")
    return copied


def _copied(source: Path, target: Path, about: os.stat_result, *, link: bool) -> bool:
    """Copy what is no folder; whether the copy is a second name of the same file."""
    if stat.S_ISLNK(about.st_mode):
        target.symlink_to(os.readlink(source))
        return False
    if link and _linked(source, target):
        return True
    copy_file(source, target)
    return False


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        # Another filesystem, as many links as there can be, or none of a file of somebody else
        if error.errno in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            return False
        raise
    return True


def can_link(source: Path, target: Path) -> bool:
    """Whether files get a second name there, and need no room."""
    if not _linked(source, target):
        return False
    target.unlink()
    return True


def copy_file(source: Path, target: Path) -> None:
    """The bytes as they are at one moment.

    Raises SourceError where whoever writes the file never lets it alone for that long: what is of
    two moments may be no configuration and no data, and nobody would notice.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(source, flags), "rb") as reads, target.open("wb") as writes:
        for pause in PAUSES:
            before = os.fstat(reads.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise FileNotFoundError(errno.ENOENT, "another kind of file took its place", source)
            if _cloned(reads.fileno(), writes.fileno()):
                return
            reads.seek(0)
            writes.seek(0)
            writes.truncate()
            shutil.copyfileobj(reads, writes, CHUNK_BYTES)
            writes.flush()
            after = os.fstat(reads.fileno())
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return
            time.sleep(pause)
    raise SourceError(
        f"{source} changed every time that it was copied: leave it out (`exclude`), or have "
        "`prepare` make a copy that stands still"
    )


def _cloned(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        # Most filesystems cannot; what is wrong otherwise, the copying says.
        return False
    return True


def _dress(source: Path, target: Path, owner: tuple[int, int]) -> None:
    if os.geteuid() == 0:
        # First, as it takes away the bits setuid and setgid
        os.chown(target, *owner, follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)


@cache
def user_name(uid: int) -> str:
    """Name of a user, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@cache
def group_name(gid: int) -> str:
    """Name of a group, or the number of one that has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_id(name: str) -> int:
    """Number of a user on this host. Raises SourceError."""
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise SourceError(f"there is no user {name} on this host") from error


def group_id(name: str) -> int:
    """Number of a group on this host. Raises SourceError."""
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise SourceError(f"there is no group {name} on this host") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, also of one whose mode keeps its owner from reading it."""
    try:
        file = path.open("rb")
    except PermissionError:
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | stat.S_IRUSR)
        file = path.open("rb")
        path.chmod(mode)
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(path: Path, about: os.stat_result) -> dict[str, Any]:
    """What there is to know of a file, a folder or a link."""
    known: dict[str, Any] = {
        "owner": user_name(about.st_uid),
        "group": group_name(about.st_gid),
    }
    if stat.S_ISLNK(about.st_mode):
        return {"kind": "link", "target": os.readlink(path), **known}
    known["mode"] = f"{stat.S_IMODE(about.st_mode):04o}"
    if stat.S_ISDIR(about.st_mode):
        return {"kind": "folder", **known}
    return {"kind": "file", "bytes": about.st_size, "sha256": digest(path), **known}


def user_group(name: str) -> int:
    """Number of a user's own group on this host. Raises SourceError."""
    try:
        return pwd.getpwnam(name).pw_gid
    except KeyError as error:
        raise SourceError(f"there is no user {name} on this host") from error
