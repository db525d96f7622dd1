"""What is replaced comes back, wherever the program was killed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookout.backup.sources import SourceError, keeping


class KilledError(BaseException):
    """Stands for kill -9: nobody catches it."""


def told(path: Path) -> str | None:
    """What is at a path, whether it is a folder, a file or nothing."""
    if path.is_dir():
        return (path / "what").read_text(encoding="ascii")
    return path.read_text(encoding="ascii") if path.exists() else None


def as_file(text: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_text(text, encoding="ascii")

    return make


def as_folder(text: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "what").write_text(text, encoding="ascii")

    return make


@pytest.fixture
def live(tmp_path: Path) -> Path:
    (tmp_path / "live").mkdir()
    return tmp_path / "live/data"


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    return tmp_path / "aside"


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Kill before the n-th change of the filesystem, until it is called with 0."""
    left = [0]

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise KilledError
            return function(*arguments, **more)

        return call

    for name in ("rename", "mkdir", "touch", "unlink", "write_text"):
        monkeypatch.setattr(Path, name, watched(getattr(Path, name)))
    monkeypatch.setattr(shutil, "rmtree", watched(shutil.rmtree))

    def at(number: int) -> None:
        left[0] = number

    return at


@pytest.fixture
def other_filesystem(monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if ("aside" in target.parts) != ("aside" in self.parts):
            raise OSError(errno.EXDEV, "another filesystem")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)


@pytest.mark.parametrize("make", [as_file, as_folder])
@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("step", range(1, 12))
def test_a_killed_replacement_can_be_repeated_or_undone(  # noqa: PLR0917
    live: Path,
    aside: Path,
    make: Callable[[str], Callable[[Path], None]],
    before: str | None,
    step: int,
    kill: Callable[[int], None],
) -> None:
    if before:
        make(before)(live)
    for then in ("repeated", "undone"):
        kill(step)
        try:
            keeping.replace(live, aside, make("new"))
        except KilledError:
            pass
        else:
            assert told(live) == "new"
        kill(0)
        if then == "repeated":
            keeping.replace(live, aside, make("new"))
            assert told(live) == "new"
        kill(step)
        try:
            keeping.give_back(live, aside)
        except KilledError:
            kill(0)
            keeping.give_back(live, aside)
        kill(0)
        assert told(live) == before
        # Nothing is left beside it
        assert [path.name for path in live.parent.iterdir()] == [live.name] * bool(before)


def test_nobody_else_reaches_what_is_being_made(live: Path, aside: Path) -> None:
    as_file("old")(live)

    def make(fresh: Path) -> None:
        made.append(fresh)
        as_file("new")(fresh)

    made: list[Path] = []
    keeping.replace(live, aside, make)
    assert told(live) == "new"
    assert aside in made[0].parents
    assert made[0].parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(live.parent) == [live.name]


@pytest.mark.usefixtures("other_filesystem")
def test_on_another_filesystem_it_is_kept_beside_its_place(live: Path, aside: Path) -> None:
    as_folder("old")(live)
    for _ in range(2):
        keeping.replace(live, aside, as_folder("new"))
        assert told(live) == "new"
    keeping.give_back(live, aside)
    assert told(live) == "old"
    keeping.replace(live, aside, as_folder("new"))
    keeping.forget(live, aside)
    assert os.listdir(live.parent) == ["data"]


@pytest.mark.usefixtures("other_filesystem")
def test_what_another_restore_kept_is_not_taken_for_the_present(live: Path, tmp_path: Path) -> None:
    as_file("oldest")(live)
    keeping.replace(live, tmp_path / "aside/1", as_file("older"))
    keeping.replace(live, tmp_path / "aside/2", as_file("new"))
    keeping.give_back(live, tmp_path / "aside/2")
    assert told(live) == "older"
    keeping.give_back(live, tmp_path / "aside/1")
    assert told(live) == "oldest"


def test_a_mount_point_is_named(live: Path, aside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_folder("old")(live)

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(SourceError, match="is a mount point"):
        keeping.keep(live, aside)


def test_a_link_is_replaced_and_what_it_leads_to_is_not(live: Path, aside: Path) -> None:
    target = live.with_name("target")
    as_folder("untouched")(target)
    live.symlink_to("target")
    keeping.replace(live, aside, as_folder("new"))
    assert told(target) == "untouched"
    assert not live.is_symlink()
    keeping.give_back(live, aside)
    assert os.readlink(live) == "target"
