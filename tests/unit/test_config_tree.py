"""A tree is live as a whole or not at all, whatever happens on the way."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils.lookout_links import loaded_link, point
from plugins.modules import config_tree

Files = dict[str, str]

OWNER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name
put = partial(config_tree.put, owner=OWNER, group=GROUP)

OLD = {"main.yml": "old", "rules/a.yml": "old a"}
NEW = {"main.yml": "new", "rules/b.yml": "new b"}


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return tmp_path / "etc/config"


def script(folder: Path, body: str) -> str:
    """A checker as a shell script; `$1` is the tree."""
    file = folder / "checker"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return str(file)


def contents(tree: Path) -> Files:
    return {
        str(file.relative_to(tree)): file.read_bytes().decode()
        for file in tree.rglob("*")
        if file.is_file()
    }


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    """Every path below a folder with its link target or content, and its inode."""
    return {
        str(path.relative_to(folder)): (
            os.readlink(path)
            if path.is_symlink()
            else path.read_text()
            if path.is_file()
            else "folder",
            path.lstat().st_ino,
        )
        for path in folder.rglob("*")
    }


def trees(live: Path) -> set[str]:
    return {path.name for path in live.with_name("config.trees").iterdir()}


def take_up(live: Path) -> None:
    """What service_live does when the service took the live tree."""
    point(loaded_link(live), os.readlink(live))


# --- what is live after a run ---


def test_first_run_makes_link_and_tree(live: Path) -> None:
    changed, tree, before = put(live, OLD, [])
    assert changed
    assert before == {}
    assert live.is_symlink()
    assert not Path(os.readlink(live)).is_absolute()
    assert live.resolve() == tree
    assert contents(live) == OLD


def test_same_files_again_change_nothing(live: Path, tmp_path: Path) -> None:
    put(live, OLD, [])
    before = snapshot(tmp_path)
    assert put(live, dict(reversed(OLD.items())), ["false"]) == (False, live.resolve(), OLD)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("content", ["a\r\nb\r", "\N{SNOWMAN}\n", "", "\n\n"])
def test_contents_arrive_byte_for_byte_and_compare_equal(live: Path, content: str) -> None:
    put(live, {"file": content}, [])
    assert (live / "file").read_bytes() == content.encode()
    assert not put(live, {"file": content}, [])[0]


def test_changed_files_are_live_and_the_loaded_tree_is_kept(live: Path) -> None:
    _, old, _ = put(live, OLD, [])
    take_up(live)
    changed, new, before = put(live, NEW, [])
    assert (changed, before) == (True, OLD)
    assert contents(live) == NEW
    assert trees(live) == {old.name, new.name}
    assert contents(loaded_link(live)) == OLD


def test_trees_that_no_link_names_are_pruned(live: Path) -> None:
    put(live, OLD, [])
    take_up(live)
    _, refused, _ = put(live, {"main.yml": "never loaded"}, [])
    _, new, _ = put(live, NEW, [])
    assert refused.name not in trees(live)
    take_up(live)
    _, newest, _ = put(live, {"main.yml": "newest"}, [])
    assert trees(live) == {new.name, newest.name}


def test_half_written_trees_of_a_killed_run_are_pruned(live: Path) -> None:
    put(live, OLD, [])
    (live.with_name("config.trees") / ".new-killed").mkdir()
    put(live, NEW, [])
    assert len(trees(live)) == 1


def test_going_back_to_the_loaded_tree_leaves_nothing_to_reload(live: Path) -> None:
    put(live, OLD, [])
    take_up(live)
    put(live, NEW, [])
    put(live, OLD, [])
    assert contents(live) == OLD


@pytest.mark.parametrize(
    "edit",
    [
        lambda tree: (tree / "main.yml").write_text("by hand"),
        lambda tree: (tree / "extra.yml").write_text("by hand"),
        lambda tree: (tree / "main.yml").unlink(),
        lambda tree: (tree / "main.yml").write_bytes(b"\xff\xfe"),
        lambda tree: (tree / "main.yml").chmod(0o600),
        lambda tree: (tree / "rules").chmod(0o700),
    ],
    ids=["changed", "added", "removed", "not text", "mode", "folder mode"],
)
def test_what_was_edited_by_hand_is_put_right(live: Path, edit: Callable[[Path], Any]) -> None:
    put(live, OLD, [])
    take_up(live)
    edited = live.resolve()
    edit(edited)
    changed, tree, _ = put(live, OLD, [])
    assert changed
    assert contents(live) == OLD
    # A service that loaded the edited tree has to reload: the name is another one.
    assert tree != edited
    assert (tree / "main.yml").stat().st_mode & 0o777 == 0o640
    assert (tree / "rules").stat().st_mode & 0o777 == 0o750
    assert not put(live, OLD, [])[0]


def test_other_mode_of_the_same_files_is_another_tree(live: Path) -> None:
    _, first, _ = put(live, OLD, [])
    changed, second, _ = put(live, OLD, [], mode=0o644)
    assert changed
    assert first != second
    assert (live / "main.yml").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("mode", "folder_mode"), [(0o640, 0o750), (0o600, 0o700), (0o644, 0o755), (0o440, 0o550)]
)
def test_modes_do_not_depend_on_the_umask(live: Path, mode: int, folder_mode: int) -> None:
    live.parent.mkdir()
    before = os.umask(0o077)
    try:
        _, tree, _ = put(live, {"deep/er/file": "x"}, [], mode=mode)
    finally:
        os.umask(before)
    assert (tree / "deep/er/file").stat().st_mode & 0o7777 == mode
    for folder in (tree, tree / "deep", tree / "deep/er"):
        assert folder.stat().st_mode & 0o7777 == folder_mode
    # The service has to reach its tree.
    assert tree.parent.stat().st_mode & 0o777 == 0o755


# --- what is refused ---


def test_refused_tree_leaves_everything_as_it_was(live: Path, tmp_path: Path) -> None:
    checker = script(tmp_path, 'grep -q new "$1/main.yml" && echo "$1/main.yml: line 1" && exit 3')
    put(live, OLD, [])
    take_up(live)
    before = snapshot(tmp_path)
    with pytest.raises(config_tree.TreeError, match=r"refuses.*\nmain\.yml: line 1"):
        put(live, NEW, [checker, "{tree}"])
    assert snapshot(tmp_path) == before


def test_checker_sees_the_whole_tree_before_the_swap(live: Path, tmp_path: Path) -> None:
    body = f'cat "$1/main.yml" "$1/rules/b.yml" {live}/main.yml > {tmp_path}/seen'
    put(live, OLD, [])
    put(live, NEW, [script(tmp_path, body), "{tree}"])
    assert (tmp_path / "seen").read_text() == "newnew bold"


def test_refused_first_tree_leaves_no_link(live: Path) -> None:
    with pytest.raises(config_tree.TreeError, match="false refuses"):
        put(live, OLD, ["false"])
    assert not live.is_symlink()
    assert trees(live) == set()


def test_missing_checker_is_named(live: Path) -> None:
    with pytest.raises(config_tree.TreeError, match="the checker no-such is not installed"):
        put(live, OLD, ["no-such"])
    assert trees(live) == set()


def test_checker_that_hangs_is_given_up(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_tree, "CHECK_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(config_tree.TreeError, match="did not end within"):
        put(live, OLD, ["sleep", "5"])
    assert trees(live) == set()


@pytest.mark.parametrize("name", ["../x", "rules/../../x", "{absolute}", ".", ""])
def test_file_outside_of_the_tree_is_refused(live: Path, tmp_path: Path, name: str) -> None:
    name = name.replace("{absolute}", str(tmp_path / "x"))
    with pytest.raises(config_tree.TreeError, match="outside of the tree"):
        put(live, {name: "x"}, [])
    assert not list(tmp_path.rglob("x"))
    assert trees(live) == set()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_something_real_in_place_of_the_link_is_an_error(live: Path, kind: str) -> None:
    live.parent.mkdir()
    live.mkdir() if kind == "folder" else live.write_text("precious")
    with pytest.raises(config_tree.TreeError, match="is not a symbolic link"):
        put(live, OLD, [])
    assert live.exists()
    assert not live.is_symlink()


def test_unknown_group_changes_nothing(live: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        config_tree.put(live, OLD, [], owner=OWNER, group="no-such-group")
    assert snapshot(tmp_path) == {}


# --- check mode ---


def test_dry_run_checks_and_writes_nothing(live: Path, tmp_path: Path) -> None:
    checker = script(tmp_path, f'cp "$1/main.yml" {tempfile.gettempdir()}/"$2"; cat "$1/main.yml"')
    put(live, OLD, [])
    before = snapshot(tmp_path)
    seen = Path(tempfile.gettempdir(), f"lookout-seen-{os.getpid()}")
    try:
        changed, _, former = put(live, NEW, [checker, "{tree}", seen.name], dry_run=True)
        assert seen.read_text() == "new"
    finally:
        seen.unlink(missing_ok=True)
    assert (changed, former) == (True, OLD)
    assert snapshot(tmp_path) == before


def test_dry_run_refuses_what_the_checker_refuses(live: Path, tmp_path: Path) -> None:
    with pytest.raises(config_tree.TreeError, match="false refuses"):
        put(live, OLD, ["false"], dry_run=True)
    assert snapshot(tmp_path) == {}


def test_dry_run_on_an_empty_host_does_without_checker_and_user(live: Path) -> None:
    assert put(live, OLD, ["no-such"], owner="no-such-user", group="no-such", dry_run=True)[0]


def test_dry_run_of_what_is_live_changes_nothing(live: Path) -> None:
    put(live, OLD, [])
    assert not put(live, OLD, [], dry_run=True)[0]


# --- killed on the way ---

STEPS = {
    *("open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir"),
    *("os.chmod", "os.chown", "os.listdir", "os.scandir", "shutil.rmtree", "subprocess.Popen"),
}


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Run an action in a process that is killed with -9 before its n-th step; whether it was."""
    child = os.fork()
    if child == 0:
        left = step

        def hook(event: str, _: object) -> None:
            nonlocal left
            if event in STEPS:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(hook)
            action()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_kill_at_any_step_leaves_a_whole_tree(tmp_path: Path, first: bool) -> None:
    outcomes = []
    for step in range(1000):
        live = tmp_path / str(step) / "config"
        if not first:
            put(live, OLD, [])
            take_up(live)
        if not killed_at(step, partial(put, live, NEW, ["true"])):
            break
        if live.is_symlink():
            assert live.is_dir(), f"killed at step {step}: the link dangles"
            assert contents(live) in (OLD, NEW)
            outcomes.append(contents(live))
        else:
            assert first
            assert not live.exists()
        if not first:
            assert contents(loaded_link(live)) == OLD
        put(live, NEW, ["true"])
        assert contents(live) == NEW
        put(live, {"main.yml": "newest"}, ["true"])
        assert len(trees(live)) == (1 if first else 2), "something half-written is left"
        shutil.rmtree(live.parent)
    else:
        pytest.fail("it never came to an end")
    assert NEW in outcomes
    assert first or OLD in outcomes


@pytest.mark.parametrize(
    "call", ["rename", "replace", "symlink", "fsync", "fchown", "fchmod", "chown", "chmod"]
)
def test_full_disk_and_the_like_leave_the_old_tree(
    live: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    put(live, OLD, [])
    take_up(live)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            put(live, NEW, [])
    assert contents(live) == OLD
    assert not [name for name in trees(live) if name.startswith(".new-")]
    put(live, NEW, [])
    assert contents(live) == NEW


def test_tree_that_cannot_be_pruned_does_not_matter(
    live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(live, OLD, [])

    def fail(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(shutil, "rmtree", fail)
    assert put(live, NEW, [])[0]
    assert contents(live) == NEW


# --- any sequence of trees ---

NAMES = st.sampled_from(["a", "b", "sub/a", "sub/b", "sub/deep/c"])
TREES = st.dictionaries(NAMES, st.text(max_size=8), max_size=4)
EVENTS: st.SearchStrategy[tuple[str, Files]] = st.one_of(
    st.tuples(st.just("put"), TREES),
    st.tuples(st.just("refused"), TREES),
    st.tuples(st.just("edit"), st.just({"a": "by hand"})),
    st.tuples(st.just("take up"), st.just({})),
)


@settings(max_examples=60)
@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_live_tree_is_always_the_last_one_put(events: list[tuple[str, Files]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        live = Path(folder, "config")
        last: Files | None = None
        shown: Files | None = None  # `last`, or what was made of it by hand
        for kind, files in events:
            if kind == "put":
                before = shown
                changed, _, former = put(live, files, [])
                assert former == (before or {})
                assert changed == (before != files)
                last = shown = files
            elif kind == "refused" and files != shown:
                with pytest.raises(config_tree.TreeError):
                    put(live, files, ["false"])
            elif kind == "edit" and last is not None:
                (live / "a").write_text(files["a"])
                shown = {**(shown or {}), **files}
            elif kind == "take up" and last is not None:
                take_up(live)
            if last is None:
                assert not live.is_symlink()
            else:
                assert live.resolve(strict=True).parent == Path(folder, "config.trees")
                assert contents(live) == shown
                taken = loaded_link(live)
                assert not taken.is_symlink() or taken.is_dir()
                assert len(trees(live)) <= 2


# --- as Ansible calls it ---


def answer(capsys: pytest.CaptureFixture[str], **arguments: object) -> dict[str, Any]:
    with (
        patch_module_args({"owner": OWNER, "group": GROUP, **arguments}),
        pytest.raises(SystemExit),
    ):
        config_tree.main()
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_module_shows_a_diff_of_what_changed(
    live: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(live, {"same": "s", "gone": "g", "other": "1"}, [])
    files = {"same": "s", "other": 2, "fresh": "f"}
    shown = answer(capsys, path=str(live), files=files, mode="0600")
    assert shown["changed"]
    assert shown["tree"] == str(live.resolve())
    assert [(part["before"], part["after"]) for part in shown["diff"]] == [
        ("", "f"),
        ("g", ""),
        ("1", "2"),
    ]
    assert contents(live) == {"same": "s", "other": "2", "fresh": "f"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"check": ["false"]},
        {"group": "no-such-group"},
        {"mode": "u=rw"},
        {"files": {"a": "x", "a/b": "y"}},
        {"files": {"nul\0": "x"}},
    ],
    ids=lambda wrong: str(next(iter(wrong))),
)
def test_module_says_that_the_live_tree_stays(
    live: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    put(live, OLD, [])
    shown = answer(capsys, **{"path": str(live), "files": NEW, **wrong})
    assert shown["failed"]
    assert f"The live configuration {live} stays as it was." in shown["msg"]
    assert contents(live) == OLD
    assert len(trees(live)) == 1
