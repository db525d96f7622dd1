"""A real repository, reached as at a site: what is the backup's fault, and what is not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from drill_store import HOST, make_store, options, restic

from lookout.backup import reach
from lookout.backup.drill.repository import BadBackupError, Judged
from lookout.backup.restic import ResticError, Snapshot
from lookout.backup.sources import CannotJudgeError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one snapshot, made once and copied for each test."""
    root = tmp_path_factory.mktemp("made")
    make_store(root)
    restic(root, "init", "--repository-version", "2")
    (root / "stage").mkdir()
    (root / "stage/data").write_bytes(os.urandom(100_000))
    restic(root, "backup", ".", "--host", HOST, "--tag", "part=grafana", cwd=root / "stage")
    return root


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_store(tmp_path)
    shutil.copytree(made / HOST, tmp_path / HOST)
    monkeypatch.setenv("PATH", f"{tmp_path}/tools:{os.environ['PATH']}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", f"{tmp_path}/keys")
    return tmp_path


def judged(store: Path) -> Judged:
    return Judged(options(store), HOST, store / "cache")


def test_what_is_whole_is_restored(store: Path, made: Path) -> None:
    own = judged(store)
    own.look()
    (snapshot,) = own.list()
    assert (snapshot.part, snapshot.host) == ("grafana", HOST)
    assert own.size(snapshot) == 100_000
    own.restore(snapshot, store / "restored", 60)
    assert (store / "restored/data").read_bytes() == (made / "stage/data").read_bytes()


def flip(folder: Path) -> None:
    """Change a byte in the midst of each file."""
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.chmod(0o600)
        file.write_bytes(data)


def test_a_lost_pack_is_found_before_a_restore_tries_to_get_it(store: Path) -> None:
    own = judged(store)
    own.list()
    own.check()
    packs = [file for file in (store / HOST / "data").rglob("*") if file.is_file()]
    max(packs, key=lambda file: file.stat().st_size).unlink()
    with pytest.raises(BadBackupError, match="restic check ended with 1"):
        own.check()


def test_who_prunes_meanwhile_is_not_taken_for_damage(store: Path) -> None:
    own = judged(store)
    own.list()
    (index,) = (store / HOST / "index").iterdir()
    index.rename(index.with_name("0" * 64))
    with pytest.raises(CannotJudgeError, match="somebody wrote to the repository"):
        own.check()


def test_a_damaged_index_is_the_backups_fault(store: Path) -> None:
    own = judged(store)
    (snapshot,) = own.list()
    flip(store / HOST / "index")
    with pytest.raises(BadBackupError):
        own.size(snapshot)


def test_so_is_a_password_that_does_not_open_it(store: Path) -> None:
    (store / f"keys/password_{HOST}").write_text("another one", encoding="ascii")
    with pytest.raises(BadBackupError, match=r"secrets/backup_app1\) does not open"):
        judged(store).list()


def test_so_is_a_repository_that_is_gone(store: Path) -> None:
    shutil.rmtree(store / HOST)
    with pytest.raises(BadBackupError, match="the store has no repository of app1"):
        judged(store).look()


@pytest.mark.parametrize(
    ("file", "reason"), [("down", "cannot be reached"), ("unmounted", "disk is not mounted")]
)
def test_the_store_s_troubles_are_not(store: Path, file: str, reason: str) -> None:
    (store / file).touch()
    with pytest.raises(CannotJudgeError, match=reason):
        judged(store).look()


def test_nor_is_it_that_a_key_or_a_program_is_not_here(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{store}/tools")
    with pytest.raises(CannotJudgeError, match="restic cannot be run here"):
        judged(store).list()
    (store / "keys/ssh_key").unlink()
    with pytest.raises(CannotJudgeError, match="this host has no ssh_key"):
        Judged(options(store / "tools"), HOST, store / "cache").look()


class Failing:
    """restic that says something, so many times."""

    def __init__(self, said: str, status: int = 1, times: int = 9) -> None:
        self.said, self.status, self.times = said, status, times

    def ask(self, *arguments: str, timeout_seconds: float) -> str:
        return ""

    def snapshots(self, timeout_seconds: float) -> list[Snapshot]:
        self.times -= 1
        if self.times >= 0:
            raise ResticError(f"restic snapshots ended with {self.status}: {self.said}", 1)
        return []


def failing(store: Path, monkeypatch: pytest.MonkeyPatch, what: Failing) -> Judged:
    monkeypatch.setattr(reach.Client, "repository", lambda _self, _host: what)
    return judged(store)


def test_a_full_disk_here_is_not_the_backups_fault(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = failing(store, monkeypatch, Failing("write x: no space left on device"))
    with pytest.raises(CannotJudgeError, match="no space left"):
        own.list()


def test_a_way_that_breaks_is_tried_once_more(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "error talking HTTP to rclone: exit status 255"
    assert failing(store, monkeypatch, Failing(said, times=1)).list() == []


def test_the_backup_is_to_blame_only_while_the_store_answers(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = failing(store, monkeypatch, Failing("unexpected EOF"))
    with pytest.raises(BadBackupError, match="unexpected EOF"):
        own.list()
    (store / "down").touch()
    with pytest.raises(CannotJudgeError, match=r"cannot be reached.*; restic snapshots ended"):
        own.list()
