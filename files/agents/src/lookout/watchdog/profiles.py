"""Before systemd-tmpfiles cleans: keep it away from profiles whose browser lives.

It deletes what nobody has touched for a day, and a browser that lives does not touch all of its
profile. So its folders are named in a file of `x` lines, which are left alone. Empty folders, which
an earlier clean left, are taken away. Runs as root, from systemd-tmpfiles-clean.service; where it
fails nothing is cleaned.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import re
import stat
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lookout.kit.files import write_atomically
from lookout.watchdog.details import read_command
from lookout.watchdog.processes import PROC

# A folder that was empty for an hour holds no profile that a browser is about to fill.
EMPTY_SECONDS = 3600
# Each process says itself how long its command line is; no path is longer than PATH_MAX.
COMMAND_BYTES = 128 * 1024
LONGEST_PATH = 4096
# systemd-tmpfiles reads these as they are. Anything else becomes a `?`, which it reads as any
# letter: that spares too much rather than too little.
PLAIN = re.compile(r"[^A-Za-z0-9_./+=:@,~-]")

FileId = tuple[int, int]


def patterns(rules: str) -> list[str]:
    """The paths of the `e` lines of a file for systemd-tmpfiles."""
    lines = (line.split() for line in rules.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "e"]


def folders(wanted: Iterable[str]) -> dict[FileId, str]:
    """The folders that match, none of them reached through a link that anybody may have made."""
    found = {}
    for pattern in wanted:
        for path in glob.glob(pattern, include_hidden=True):
            with contextlib.suppress(OSError), _parent(path) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    found[status.st_dev, status.st_ino] = path
    return found


@contextlib.contextmanager
def _parent(path: str) -> Iterator[tuple[int, str]]:
    """Give a descriptor of the folder that holds a path, and the name there.

    Links on the way are followed in folders that root alone may write to, and nowhere below others.
    """
    *folders, name = path.strip("/").split("/")
    descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        for folder in folders:
            status = os.fstat(descriptor)
            if status.st_uid != 0 or status.st_mode & 0o022:
                flags |= os.O_NOFOLLOW
            below = os.open(folder, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor, name
    finally:
        os.close(descriptor)


def in_use(found: dict[FileId, str], proc: Path = PROC) -> set[FileId]:
    """Folders that a process names in its command line, works in, or has a file open in.

    A process may see them elsewhere, in a /tmp of its own, so folders are told by their inode.
    """
    names = {os.path.basename(path) for path in found.values()}
    if not names:
        return set()
    used = set()
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            for path in {path for text in _mentions(folder) for path in paths_to(names, text)}:
                with contextlib.suppress(OSError):
                    status = os.stat(f"{folder}/root{path}")
                    used.add((status.st_dev, status.st_ino))
    return used & found.keys()


def paths_to(names: Collection[str], text: str) -> Iterator[str]:
    """The paths in a text that lead to one of the names, or below it."""
    for piece in re.split("[=:]", text) if len(text) <= LONGEST_PATH else ():
        _, slash, path = piece.partition("/")
        parts = path.split("/")
        for index, part in enumerate(parts, 1):
            if slash and part in names:
                yield "/" + "/".join(parts[:index])
                break


def _mentions(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        command = read_command(folder, COMMAND_BYTES)
        yield from command.decode("utf-8", "surrogateescape").split("\0")
    with contextlib.suppress(OSError):
        yield os.readlink(folder / "cwd")
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(folder / "fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(folder / "fd" / descriptor)


def spare(paths: Iterable[str]) -> str:
    """Lines that keep systemd-tmpfiles off folders and all that is in them."""
    lines = [
        "# Profiles of browsers that live, as of the last clean. Written anew before each one."
    ]
    for path in sorted(PLAIN.sub("?", path) for path in paths):
        # A star does not match a leading point.
        lines += [f"x {path}", f"x {path}/*", f"x {path}/.*"]
    return "\n".join(lines) + "\n"


def remove_empty(paths: Iterable[str], now: float) -> list[str]:
    """Take away folders that are empty, and have been for a while."""
    removed = []
    for path in paths:
        with contextlib.suppress(OSError), _parent(path) as (parent, name):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if now - status.st_mtime > EMPTY_SECONDS:
                os.rmdir(name, dir_fd=parent)  # refuses unless it is empty
                removed.append(path)
    return removed


def main(argv: list[str] | None = None) -> int:
    """Write the lines for the profiles in use now."""
    parser = argparse.ArgumentParser(prog="python -m lookout.watchdog.profiles")
    parser.add_argument("--rules", type=Path, required=True, help="the file of `e` lines")
    parser.add_argument("--write", type=Path, required=True, help="the file of `x` lines")
    arguments = parser.parse_args(argv)
    found = folders(patterns(arguments.rules.read_text(encoding="utf-8")))
    used = in_use(found)
    arguments.write.parent.mkdir(mode=0o755, exist_ok=True)
    write_atomically(arguments.write, spare(found[one] for one in used).encode(), 0o644)
    idle = [path for one, path in found.items() if one not in used]
    removed = remove_empty(idle, time.time())
    print(f"{len(used)} profiles are in use, {len(idle)} are not, {len(removed)} were empty")
    return 0


if __name__ == "__main__":
    sys.exit(main())
