"""Files and folders, copied as they are; their owners are known by name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lookout.backup.sources import Facts, SourceError, keeping, trees

# Of what differs, so that a tree that is gone is one problem and not a thousand
MOST_NAMED = 10


def topmost(paths: tuple[Path, ...]) -> list[Path]:
    """The paths without those that are below another one."""
    ordered = sorted(set(paths))
    return [path for path in ordered if not any(one in path.parents for one in ordered)]


def differences(wanted: trees.Entries, found: trees.Entries) -> Iterator[str]:
    """What is missing, changed, or more; owners are not compared, as only root can set them."""
    problems = {
        "missing": sorted(set(wanted) - set(found)),
        "not part of the backup": sorted(set(found) - set(wanted)),
    }
    for what, paths in problems.items():
        yield from (f"{path}: {what}" for path in paths[:MOST_NAMED])
        if len(paths) > MOST_NAMED:
            yield f"{len(paths) - MOST_NAMED} more are {what}"
    changed = [
        (path, key)
        for path in sorted(set(wanted) & set(found))
        for key in _changed(wanted[path], found[path])
    ]
    for path, key in changed[:MOST_NAMED]:
        yield f"{path}: {key} is {found[path].get(key)}, was {wanted[path].get(key)}"
    if len(changed) > MOST_NAMED:
        yield f"{len(changed) - MOST_NAMED} more are changed"


def _changed(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    keys = ("kind", "target", "bytes", "sha256", "mode")
    return [key for key in keys if wanted.get(key) != found.get(key)][:1]


@dataclass(frozen=True)
class FilesSource:
    """The paths of a part. `only` limits putting back to some of them, or what is below them."""

    paths: tuple[Path, ...]
    exclude: tuple[str, ...] = ()
    only: tuple[Path, ...] = ()
    name: str = "files"

    def bytes_needed(self) -> int:
        """Sizes of the files."""
        return sum(trees.size(path, self.exclude) for path in topmost(self.paths))

    def save(self, folder: Path) -> None:
        """Copy each path to its own place below the folder."""
        if not self.paths:
            raise SourceError("no paths are named")
        for path in topmost(self.paths):
            target = _below(folder, path)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                copied = trees.copy(path, target, self.exclude)
            except FileNotFoundError as error:
                raise SourceError(f"{path} does not exist") from error
            if not copied and self._has_files(path):
                raise SourceError(f"{path} has files, and none of them was copied")

    def _has_files(self, path: Path) -> bool:
        return any(not stat.S_ISDIR(about.st_mode) for _, about in trees.walk(path))

    def describe(self, folder: Path) -> Facts:
        """What was copied, by its live path."""
        entries = _entries(folder, topmost(self.paths))
        return {"entries": entries, "files": len(entries)}

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:  # noqa: ARG002
        """Nothing missing, nothing changed, nothing more."""
        wanted: trees.Entries = facts.get("entries") or {}
        if not wanted:
            yield "the manifest names no file: there is nothing to compare with"
        tops = [path for path in topmost(self.paths) if os.path.lexists(_below(folder, path))]
        found = _entries(folder, tops)
        yield from differences(wanted, found)
        yield from (f"/{path}: not part of the backup" for path in self._strangers(folder))

    def _strangers(self, folder: Path) -> Iterator[Path]:
        """What lies beside the copies of the paths."""
        tops = {_below(folder, path) for path in topmost(self.paths)}
        ways = {folder} | {parent for top in tops for parent in top.parents}
        for path, _ in trees.walk(folder) if folder.is_dir() else ():
            if path not in ways and not tops & {path, *path.parents}:
                yield path.relative_to(folder)

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        """Replace each path by its copy."""
        entries: trees.Entries = facts["entries"]
        targets = self._targets()
        for path in targets:
            if not os.path.lexists(_below(folder, path)):
                raise SourceError(f"{path} is not in the backup")
            for way in path.parents:
                if _below(folder, way).is_symlink():
                    raise SourceError(f"{way} is a link in the backup, which leads out of it")
        names = {(one["owner"], one["group"]) for one in entries.values()}
        # All of them before anything is touched, as this host may not know one
        ids = {(user, group): (trees.user_id(user), trees.group_id(group)) for user, group in names}

        def owner(copied: Path, about: os.stat_result) -> tuple[int, int]:
            one = entries.get(f"/{copied.relative_to(folder)}")
            return ids[one["owner"], one["group"]] if one else (about.st_uid, about.st_gid)

        for path in targets:
            copied = _below(folder, path)
            keeping.replace(path, aside, partial(_copy, copied, owner))

    def undo(self, aside: Path) -> None:
        """Put back what was there."""
        for path in self._targets():
            keeping.give_back(path, aside)

    def settle(self, aside: Path) -> None:
        """Forget what could not be moved to `aside`."""
        for path in self._targets():
            keeping.forget(path, aside)

    def _targets(self) -> list[Path]:
        tops = topmost(self.paths)
        for path in self.only:
            if not any(top == path or top in path.parents for top in tops):
                raise SourceError(f"{path} is not below a path of the part")
        return topmost(self.only) or tops


def _copy(
    source: Path, owner: Callable[[Path, os.stat_result], tuple[int, int]], target: Path
) -> None:
    trees.copy(source, target, owner=owner)


def _below(folder: Path, path: Path) -> Path:
    return folder / path.relative_to("/")


def _entries(folder: Path, tops: list[Path]) -> trees.Entries:
    return {
        f"/{path.relative_to(folder)}": trees.entry(path, about)
        for top in tops
        for path, about in trees.walk(_below(folder, top))
    }
