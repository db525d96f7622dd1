"""The validation directory: real files, and what somebody in the group of writers may put there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout import validate
from lookout.watchdog.validations import (
    Found,
    Listing,
    UnsafeDirectoryError,
    list_directory,
    open_directory,
    parse_content,
    parse_name,
    remove,
    superseded,
)

ME = frozenset({os.getuid()})
VICTIM = "10-1000"
# 10-5 in digits that Python, too, takes for digits
ARABIC = "\u0661\u0660-\u0665"
Attack = Callable[[Path, Path], object]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "watchdog"
    made.mkdir()
    made.chmod(0o1730)
    return made


def look(directory: Path) -> Listing:
    with open_directory(directory, ME) as descriptor:
        return list_directory(descriptor, time.time())


def clean(directory: Path) -> None:
    with open_directory(directory, ME) as descriptor:
        remove(descriptor, list_directory(descriptor, time.time()).junk, lambda *_: None)


def test_a_validation_is_found_with_its_time(directory: Path) -> None:
    before = time.time()
    path = validate.validate_process(os.getpid(), directory)
    (found,) = look(directory).found
    assert (found.name, found.pid, found.owner) == (path.name, os.getpid(), os.getuid())
    assert found.created == validate.start_ticks(os.getpid())
    assert before - 0.1 <= found.written <= time.time() + 0.1
    assert found.lag_seconds < 1
    assert [entry.name for entry in directory.iterdir()] == [path.name]


def test_a_renewed_validation_is_another_file(directory: Path) -> None:
    first, second = (
        (validate.validate_process(os.getpid(), directory), look(directory).found[0])[1]
        for _ in range(2)
    )
    assert (first.inode, first.written) != (second.inode, second.written)


# --- attacks: none of them is a validation, and nothing outside is touched ---


def _socket(path: Path) -> None:
    folder = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has 108 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(folder)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _old_with_a_young_mtime(path: Path) -> None:
    path.write_text("1000\n")
    os.utime(path, (time.time() + 9999, time.time() + 9999))


IN_THE_DIRECTORY: dict[str, tuple[str, Attack]] = {
    "a link to a validation outside": ("symlink", lambda at, out: at.symlink_to(out)),
    "a link to nothing": ("symlink", lambda at, out: at.symlink_to(out.with_name("nothing"))),
    "a link to a folder": ("symlink", lambda at, out: at.symlink_to(out.parent)),
    "a link to a device that never ends": ("symlink", lambda at, _: at.symlink_to("/dev/zero")),
    "a link to itself": ("symlink", lambda at, _: at.symlink_to(at.name)),
    "a hard link to a file outside": ("hard_link", lambda at, out: os.link(out, at)),
    "a folder": ("no_file", lambda at, _: at.mkdir()),
    "a pipe that nobody writes to": ("no_file", lambda at, _: os.mkfifo(at)),
    "a socket": ("no_file", lambda at, _: _socket(at)),
    "a large file": ("size", lambda at, _: at.write_bytes(b"1" * 65)),
    "a sparse file": ("size", lambda at, _: _sparse(at)),
    "no content": ("content", lambda at, _: at.touch()),
    "no number": ("content", lambda at, _: at.write_bytes(b"\xff\0now")),
    "not a number": ("content", lambda at, _: at.write_text("nan")),
    "an infinite number": ("content", lambda at, _: at.write_text("1e999")),
    "a negative number": ("content", lambda at, _: at.write_text("-1")),
    "a time to come": (
        "future",
        lambda at, _: at.write_text(f"{time.time() + 3600}"),
    ),
}


@pytest.mark.parametrize("attack", IN_THE_DIRECTORY)
def test_it_is_no_validation(directory: Path, tmp_path: Path, attack: str) -> None:
    reason, make = IN_THE_DIRECTORY[attack]
    outside = tmp_path / "outside"
    outside.write_text(f"{time.time()}\n")
    before = outside.read_text()
    make(directory / VICTIM, outside)
    listing = look(directory)
    assert listing.found == []
    assert listing.refused == {reason: 1}
    clean(directory)
    assert outside.read_text() == before
    assert outside.stat().st_nlink == 1
    # What has no content yet may be written just now.
    left = [entry.name for entry in directory.iterdir()]
    assert left == ([VICTIM] if reason == "content" else [])


@pytest.mark.parametrize(
    "name",
    [
        "10",
        "10-",
        "-10-5",
        "010-5",
        "10-5-6",
        "10-5.",
        ARABIC,
        "10-5.tmp",
        "10-1e5",
        "1234567890-5",
    ],
)
def test_another_name_is_no_validation(directory: Path, name: str) -> None:
    (directory / name).write_text(f"{time.time()}\n")
    listing = look(directory)
    assert (listing.found, listing.refused, listing.junk) == ([], {"name": 1}, [name])


def test_a_forged_mtime_makes_nothing_younger(directory: Path) -> None:
    _old_with_a_young_mtime(directory / VICTIM)
    (found,) = look(directory).found
    assert found.lag_seconds > 1_000_000_000
    assert abs(found.written - time.time()) < 5


def test_a_hard_link_of_one_validation_to_another_name_takes_both(directory: Path) -> None:
    path = validate.validate_process(os.getpid(), directory)
    os.link(path, directory / VICTIM)
    assert look(directory).refused == {"hard_link": 2}


def test_a_flood_is_bounded(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookout.watchdog.validations.MOST_ENTRIES", 100)
    with open_directory(directory, ME) as descriptor:
        for number in range(105):
            os.close(os.open(f"x{number}", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    listing = look(directory)
    assert listing.too_many
    assert len(listing.junk) == 100
    assert listing.refused["too_many"] == 1
    clean(directory)
    assert len(list(directory.iterdir())) == 5


def test_an_unfinished_file_is_left_alone_for_a_minute(directory: Path) -> None:
    (directory / ".10.abc").write_text("1")
    assert look(directory).junk == []
    with open_directory(directory, ME) as descriptor:
        assert list_directory(descriptor, time.time() + 61).junk == [".10.abc"]


# --- attacks on the directory itself: it is refused ---


def _linked(directory: Path) -> Path:
    directory.rename(directory.with_name("elsewhere"))
    directory.symlink_to("elsewhere")
    return directory


def _linked_parent(directory: Path) -> Path:
    parent = directory.parent / "parent"
    parent.symlink_to(directory.parent)
    return parent / directory.name


def _mode(mode: int) -> Callable[[Path], Path]:
    def change(directory: Path) -> Path:
        directory.chmod(mode)
        return directory

    return change


def _file(directory: Path) -> Path:
    directory.rmdir()
    directory.touch()
    return directory


def _parent_mode(directory: Path) -> Path:
    directory.parent.chmod(0o777)
    return directory


OF_THE_DIRECTORY: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "a link in its place": ("Not a directory", _linked),
    "a link on the way to it": ("Not a directory", _linked_parent),
    "a file in its place": ("Not a directory", _file),
    "nothing in its place": ("No such file", lambda at: at / "none"),
    "everybody may write to it": ("everybody may write", _mode(0o1777)),
    "everybody may write, not sticky": ("not sticky", _mode(0o777)),
    "the group may write, not sticky": ("not sticky", _mode(0o770)),
    "everybody may replace it": ("not sticky", _parent_mode),
}


@pytest.mark.parametrize("attack", OF_THE_DIRECTORY)
def test_the_directory_is_refused(directory: Path, attack: str) -> None:
    words, change = OF_THE_DIRECTORY[attack]
    path = change(directory)
    with pytest.raises(UnsafeDirectoryError, match=words), open_directory(path, ME):
        pytest.fail("it was opened")


def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    """Whoever makes /tmp/watchdog-validated first owns it."""
    if os.getuid() == 0:
        os.chown(directory, 65534, -1)
    with (
        pytest.raises(UnsafeDirectoryError, match="belongs to user"),
        open_directory(directory, frozenset()),
    ):
        pytest.fail("it was opened")


# --- whatever is in a name or a file ---


@given(st.text(max_size=40))
def test_no_name_is_more_than_none(name: str) -> None:
    parsed = parse_name(name)
    if parsed is not None:
        assert parsed[0] > 0
        assert parsed[1] >= 0
        assert name.isascii()


@given(pid=st.integers(1, 2**22), ticks=st.integers(0, 2**62))
def test_ticks_come_back_exactly(pid: int, ticks: int) -> None:
    assert parse_name(f"{pid}-{ticks}") == (pid, ticks, False)
    assert parse_name(f"{pid}-{ticks}.0123456789abcdef") == (pid, ticks, False)


@given(pid=st.integers(1, 2**22), seconds=st.floats(0, 1e10, allow_subnormal=False))
def test_seconds_are_told_by_their_point(pid: int, seconds: float) -> None:
    parsed = parse_name(f"{pid}-{seconds:.6f}")
    assert parsed is not None
    assert parsed[0] == pid
    assert parsed[1] == pytest.approx(seconds, abs=1e-5)
    assert parsed[2]


@given(st.binary(max_size=80))
def test_no_content_is_more_than_none(content: bytes) -> None:
    said = parse_content(content)
    assert said is None or 0 <= said < 1e12


# --- the writer ---


def test_a_number_of_nobody_is_said(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(["999999999", str(directory)]) == 1
    assert "there is no process 999999999" in capsys.readouterr().err
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["x"], ["-1"], ["1", "2", "3"], [ARABIC]])
def test_called_wrongly(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(words) == 2
    assert "usage: lookout-validate PID" in capsys.readouterr().err


def test_the_command_writes(directory: Path) -> None:
    assert validate.main([str(os.getpid()), str(directory)]) == 0
    assert len(look(directory).found) == 1


def test_it_can_be_copied_as_it_is() -> None:
    """Nothing but the standard library, and nothing of ours."""
    text = Path(validate.__file__).read_text(encoding="utf-8")
    assert "from lookout" not in text
    assert "import lookout" not in text


def test_a_name_that_is_taken_is_gone_round(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a sticky directory, where somebody else made the file first."""
    taken = directory / f"{os.getpid()}-{validate.start_ticks(os.getpid())}"
    replace = Path.replace

    def refusing(self: Path, target: Path) -> Path:
        if target == taken:
            raise PermissionError(1, "Operation not permitted")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refusing)
    taken.write_text("1")
    path = validate.validate_process(os.getpid(), directory)
    assert path != taken
    assert path.name in {found.name for found in look(directory).found}


def test_a_name_that_is_a_folder_is_gone_round(directory: Path) -> None:
    taken = directory / f"{os.getpid()}-{validate.start_ticks(os.getpid())}"
    (taken / "full").mkdir(parents=True)
    path = validate.validate_process(os.getpid(), directory)
    assert path != taken
    assert [found.name for found in look(directory).found] == [path.name]
    clean(directory)
    assert taken.exists(), "it holds something"


def test_files_beside_the_usual_name_go_once_a_younger_one_is_there() -> None:
    key = (10, 1000)
    usual = Found("10-1000", 10, 1000, False, 0, written=1, lag_seconds=0, inode=1)
    older, newer, late = (
        replace(usual, name=f"10-1000.{number:016x}", written=written, lag_seconds=lag)
        for number, written, lag in ((1, 2.0, 0.0), (2, 3.0, 0.0), (3, 4.0, 2.0))
    )
    other = ((11, 1100), replace(usual, name="11-1100.0000000000000001", pid=11))
    files = [(key, file) for file in (usual, older, newer, late)]
    assert superseded([*files, other]) == [older.name, late.name]


@pytest.mark.parametrize(("size", "junk"), [(64, []), (65, [".10.abc"])])
def test_an_unfinished_file_is_small(directory: Path, size: int, junk: list[str]) -> None:
    (directory / ".10.abc").write_bytes(b"1" * size)
    assert look(directory).junk == junk
