"""Package lists that hold what this repository names, and what that needs or recommends.

apt reads every package there is, several times at each installation, and the module apt does so at
each task: a tenth of a test run's processor time. Of 68 000 packages 4000 are left. A role that
installs another one has its name somewhere in the repository, so that the lists are made anew.

Only the standard library is used, so that it runs before anything is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

# What packages of others depend on, which are in no list of Debian's: Grafana's own
ALSO = {b"adduser", b"libfontconfig1", b"musl"}
# Where names of packages may stand
SOURCES = ("roles", "playbooks", "plugins", "molecule", "files", "inventories", "tests")
SUFFIXES = {".yml", ".yaml", ".py", ".j2", ".sh", ".txt", ""}
# Folders that runs write to
MADE = {"secrets", "reports", "__pycache__"}
WORD = re.compile(rb"[a-z0-9][a-z0-9+.-]+")
RELATIONS = (b"Pre-Depends", b"Depends", b"Recommends")
Package = dict[bytes, bytes]


def sources(root: Path) -> Iterator[Path]:
    for folder in SOURCES:
        for path in (root / folder).rglob("*"):
            if path.suffix in SUFFIXES and path.is_file() and not MADE & {*path.parts}:
                yield path


def changed_since(root: Path, seconds: float) -> bool:
    """Whether a file may name other packages than it did then (since the epoch)."""
    return any(modified(path) > seconds for path in sources(root))


def modified(path: Path) -> float:
    """When it was; long ago where it is gone by now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def words(root: Path) -> set[bytes]:
    """Whatever may be the name of a package."""
    return ALSO | {word for path in sources(root) for word in WORD.findall(path.read_bytes())}


def shorten(lists: Path, short: Path, named: set[bytes]) -> None:
    """Copy apt's lists, with the packages that are named or needed, without their descriptions."""
    (short / "partial").mkdir(parents=True, exist_ok=True)
    files = [path for path in lists.iterdir() if path.is_file()]
    entries = {
        path: path.read_bytes().split(b"\n\n") for path in files if path.name.endswith("_Packages")
    }
    kept = needed([fields(entry) for part in entries.values() for entry in part], named)
    for path in files:
        if path in entries:
            text = b"\n\n".join(entry for entry in entries[path] if name_of(entry) in kept)
            text += b"\n"
        else:
            text = b"" if "_Translation-" in path.name else path.read_bytes()
        new = short / "partial" / path.name
        new.write_bytes(text)
        new.rename(short / path.name)


def name_of(entry: bytes) -> bytes:
    return entry.partition(b"\n")[0].removeprefix(b"Package: ")


def fields(entry: bytes) -> Package:
    """One package of a list: `Depends` and the like, without what goes on in a second line."""
    found = (line.partition(b": ") for line in entry.split(b"\n") if line[:1] != b" ")
    return {key: value for key, _, value in found}


def needed(packages: Iterable[Package], named: set[bytes]) -> set[bytes]:
    """Names of packages that are named or belong to every system, and of what they depend on."""
    known: dict[bytes, list[Package]] = {}
    providers: dict[bytes, set[bytes]] = {}
    for package in packages:
        if not package.get(b"Package"):
            continue
        known.setdefault(package[b"Package"], []).append(package)
        for name in names(package.get(b"Provides", b"")):
            providers.setdefault(name, set()).add(package[b"Package"])
    kept: set[bytes] = set()
    todo = [
        name
        for name, versions in known.items()
        if name in named or versions[0].get(b"Priority") in (b"required", b"important")
    ]
    while todo:
        name = todo.pop()
        if name in kept:
            continue
        kept.add(name)
        for package in known[name]:
            for other in names(b",".join(package.get(kind, b"") for kind in RELATIONS)):
                todo += [other] if other in known else providers.get(other, ())
    return kept


def names(relation: bytes) -> list[bytes]:
    """The packages of a relation, all alternatives: `a (>= 1), b:any | c [amd64]`."""
    found = (WORD.match(part.strip()) for part in re.split(rb"[,|]", relation))
    return [match[0] for match in found if match]
