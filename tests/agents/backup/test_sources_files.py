"""Files: a copy is what the live tree was, and any other one is found out."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookout.backup.sources import SourceError, trees
from lookout.backup.sources.files import FilesSource, topmost

Tree = dict[str, "bytes | Tree"]

NAMES = st.text("ab .é", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
TREES = st.recursive(
    st.binary(max_size=20), lambda below: st.dictionaries(NAMES, below, max_size=3), max_leaves=6
)


@pytest.fixture
def source(tmp_path: Path) -> FilesSource:
    """A tree as roles make them: a link that leads to the configuration of the day."""
    live = tmp_path / "live"
    (live / "config.trees/1").mkdir(parents=True)
    (live / "config.trees/1/shop.yml").write_text("port: 80\n", encoding="ascii")
    (live / "config.trees/1/run").write_text("#!/bin/sh\n", encoding="ascii")
    (live / "config.trees/1/run").chmod(0o750)
    (live / "config").symlink_to("config.trees/1")
    return FilesSource((live / "config", live / "config.trees"))


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path / "stage"


def in_stage(stage: Path, live: Path) -> Path:
    return stage / live.relative_to("/")


def planted(top: Path, tree: Tree | bytes) -> None:
    if isinstance(tree, bytes):
        top.write_bytes(tree)
        return
    top.mkdir()
    for name, below in tree.items():
        planted(top / name, below)


def problems(source: FilesSource, stage: Path, facts: dict[str, object]) -> list[str]:
    return [*source.judge(stage, facts, stage)]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tree=TREES)
def test_a_copy_is_good_and_gives_back_the_same(tree: Tree | bytes, tmp_path: Path) -> None:
    for name in ("live", "stage", "aside"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        (tmp_path / name).mkdir()
    live, stage = tmp_path / "live/top", tmp_path / "stage"
    planted(live, tree)
    source = FilesSource((live,))
    source.save(stage)
    facts = source.describe(stage)
    assert problems(source, stage, facts) == []
    before = [(str(path), trees.entry(path, about)) for path, about in trees.walk(live)]
    if live.is_dir():
        shutil.rmtree(live)
    else:
        live.unlink()
    source.put(stage, facts, tmp_path / "aside")
    assert [(str(path), trees.entry(path, about)) for path, about in trees.walk(live)] == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda top: (top / "config.trees/1/shop.yml").unlink(), "missing"),
        (lambda top: (top / "config.trees/1/shop.yml").write_text("port: 81\n"), "sha256"),
        (lambda top: (top / "config.trees/1/shop.yml").write_text(""), "bytes is 0, was 9"),
        (lambda top: (top / "config.trees/1/run").chmod(0o755), "mode is 0755, was 0750"),
        (lambda top: (top / "config.trees/1/more").touch(), "not part of the backup"),
        (lambda top: (top / "more").touch(), "not part of the backup"),
        (lambda top: ((top / "config").unlink(), (top / "config").symlink_to("x")), "target is x"),
        (lambda top: (top / "config").unlink(), "config: missing"),
        (shutil.rmtree, "missing"),
    ],
)
def test_damage_is_found(
    source: FilesSource, stage: Path, damage: Callable[[Path], None], said: str
) -> None:
    source.save(stage)
    facts = source.describe(stage)
    assert problems(source, stage, facts) == []
    damage(in_stage(stage, source.paths[0].parent))
    found = problems(source, stage, facts)
    assert found
    assert said in " ".join(found)


def test_a_manifest_without_files_proves_nothing(source: FilesSource, stage: Path) -> None:
    assert problems(FilesSource(()), stage, {}) == [
        "the manifest names no file: there is nothing to compare with"
    ]


def test_a_file_that_nobody_may_read_is_judged_all_the_same(tmp_path: Path, stage: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s", encoding="ascii")
    secret.chmod(0o000)
    source = FilesSource((secret,))
    source.save(stage)
    facts = source.describe(stage)
    assert problems(source, stage, facts) == []
    assert stat.S_IMODE(in_stage(stage, secret).stat().st_mode) == 0


def test_what_is_made_anew_by_who_uses_it_is_left_out(tmp_path: Path, stage: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "kept").touch()
    (live / "left.tmp").touch()
    (live / "cache").mkdir()
    (live / "cache/left").touch()
    os.mkfifo(live / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(live / "socket"))
        source = FilesSource((live,), ("*.tmp", "*/live/cache"))
        source.save(stage)
    assert [path.name for path, _ in trees.walk(in_stage(stage, live))] == ["live", "kept"]
    assert problems(source, stage, source.describe(stage)) == []


@pytest.mark.parametrize("paths", [(), ("gone",), ("gone", "live")])
def test_nothing_is_never_saved_for_something(
    tmp_path: Path, stage: Path, paths: tuple[str, ...]
) -> None:
    (tmp_path / "live").mkdir()
    with pytest.raises(SourceError, match=r"no paths are named|gone does not exist"):
        FilesSource(tuple(tmp_path / path for path in paths)).save(stage)


def test_a_tree_of_which_everything_is_left_out_is_an_error(
    source: FilesSource, stage: Path
) -> None:
    everything = FilesSource(source.paths[1:], ("*",))
    with pytest.raises(SourceError, match="has files, and none of them was copied"):
        everything.save(stage)


def test_a_file_that_vanishes_meanwhile_is_not_there(
    source: FilesSource, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_file = trees.copy_file

    def vanishing(path: Path, target: Path) -> None:
        if path.name == "run":
            path.unlink()
        copy_file(path, target)

    monkeypatch.setattr(trees, "copy_file", vanishing)
    source.save(stage)
    facts = source.describe(stage)
    assert not [path for path in facts["entries"] if path.endswith("/run")]
    assert problems(source, stage, facts) == []


@pytest.mark.parametrize("times", [2, 99])
def test_a_file_that_changes_meanwhile_is_copied_again_and_never_half(
    source: FilesSource, stage: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    log, left = source.paths[0] / "shop.log", [b"more\n"] * times
    log.write_bytes(b"first\n")
    copies = shutil.copyfileobj

    def busy(reads: IO[bytes], writes: IO[bytes], length: int) -> None:
        copies(reads, writes, length)
        if Path(writes.name).name == "shop.log" and left:
            with log.open("ab") as file:
                file.write(left.pop())

    monkeypatch.setattr(shutil, "copyfileobj", busy)
    monkeypatch.setattr(trees, "PAUSES", (0.01, 0.01, 0.0))
    monkeypatch.setattr(trees, "_cloned", lambda *_: False)
    if times > len(trees.PAUSES):
        with pytest.raises(SourceError, match=r"shop[.]log changed every time .*exclude"):
            source.save(stage)
    else:
        source.save(stage)
        assert in_stage(stage, log).read_bytes() == b"first\n" + b"more\n" * times


def test_what_is_put_back_can_be_undone(source: FilesSource, stage: Path, tmp_path: Path) -> None:
    config = source.paths[0]
    source.save(stage)
    facts = source.describe(stage)
    (config / "shop.yml").write_text("port: 443\n", encoding="ascii")
    (config / "later").touch()
    for _ in range(2):
        source.put(stage, facts, tmp_path / "aside")
        assert (config / "shop.yml").read_text(encoding="ascii") == "port: 80\n"
        assert not (config / "later").exists()
        assert stat.S_IMODE((config / "run").stat().st_mode) == 0o750
    for _ in range(2):
        source.undo(tmp_path / "aside")
        assert (config / "shop.yml").read_text(encoding="ascii") == "port: 443\n"
        assert (config / "later").exists()
    assert sorted(os.listdir(config.parent)) == ["config", "config.trees"]


def test_one_file_alone_can_be_put_back(source: FilesSource, stage: Path, tmp_path: Path) -> None:
    tree = source.paths[1] / "1"
    source.save(stage)
    facts = source.describe(stage)
    for name in ("shop.yml", "run"):
        (tree / name).write_text("broken", encoding="ascii")
    one = FilesSource(source.paths, only=(tree / "shop.yml",))
    one.put(stage, facts, tmp_path / "aside")
    assert (tree / "shop.yml").read_text(encoding="ascii") == "port: 80\n"
    assert (tree / "run").read_text(encoding="ascii") == "broken"
    one.undo(tmp_path / "aside")
    assert (tree / "shop.yml").read_text(encoding="ascii") == "broken"


@pytest.mark.parametrize("key", ["owner", "group"])
def test_an_owner_whom_the_host_does_not_know_stops_it_before_anything(
    source: FilesSource, stage: Path, tmp_path: Path, key: str
) -> None:
    source.save(stage)
    facts = source.describe(stage)
    facts["entries"][str(source.paths[1] / "1/run")][key] = "nobody-of-here"
    with pytest.raises(SourceError, match="nobody-of-here"):
        source.put(stage, facts, tmp_path / "aside")
    assert not (tmp_path / "aside").exists()


def test_what_is_not_in_the_copy_stops_it_before_anything(
    source: FilesSource, stage: Path, tmp_path: Path
) -> None:
    source.save(stage)
    facts = source.describe(stage)
    shutil.rmtree(in_stage(stage, source.paths[1]))
    with pytest.raises(SourceError, match=r"config\.trees is not in the backup"):
        source.put(stage, facts, tmp_path / "aside")
    assert (source.paths[0] / "shop.yml").exists()


def test_a_link_on_the_way_is_not_followed(stage: Path, tmp_path: Path) -> None:
    live = tmp_path / "live/etc"
    (live / "shop").mkdir(parents=True)
    (live / "shop/key").touch()
    FilesSource((live,)).save(stage)
    facts = FilesSource((live,)).describe(stage)
    shutil.rmtree(in_stage(stage, live / "shop"))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text("secret")
    in_stage(stage, live / "shop").symlink_to(tmp_path / "secrets")
    with pytest.raises(SourceError, match="shop is a link in the backup"):
        FilesSource((live / "shop/key",)).put(stage, facts, tmp_path / "aside")
    assert (live / "shop/key").read_text() == ""


def test_paths_below_others_are_saved_once() -> None:
    paths = ("/etc/shop", "/etc/shop/a", "/etc/shop.trees", "/etc/shop")
    assert topmost(tuple(map(Path, paths))) == [Path("/etc/shop"), Path("/etc/shop.trees")]
