"""The command itself, with a real repository reached as the store serves it."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from backup_stage import HOST, Stage

from lookout.backup import sources
from lookout.backup.options import RunOptions, Store
from lookout.backup.restore import session, wishes
from lookout.backup.restore.__main__ import PROGRAM, serve
from lookout.backup.restore.context import AS_BEFORE, Context, Stop
from lookout.kit.program import Kit

Restore = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def restore(real_stage: Stage) -> Restore:
    """Calls `lookout-restore`; an `ssh` stands in that leads to the store's program at once."""
    programs = real_stage.root / "bin"
    programs.mkdir()
    ssh = programs / "ssh"
    repository = real_stage.root / "keys/repository"
    ssh.write_text(f"#!/bin/sh\nexec rclone serve restic --stdio --append-only {repository}\n")
    ssh.chmod(0o755)
    options = real_stage.options
    settings = {
        "instance": HOST,
        "store": {"address": "store", "user": "lookout-store", "known_hosts": "/nonexistent"},
        **{name: str(getattr(options, name)) for name in ("cache_dir", "parts_dir", "stage_dir")},
        **{name: str(getattr(options, name)) for name in ("state_file", "lock_file")},
    }
    config = real_stage.root / "backup.yml"
    config.write_text(json.dumps(settings))

    def call(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lookout.backup.restore", "--config", str(config), *argv],
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


def test_a_round_trip(real_stage: Stage, restore: Restore) -> None:
    folder = real_stage.root / "shop"
    (folder / "more").mkdir(parents=True)
    (folder / "more/key").write_text("a secret")
    (folder / "more/key").chmod(0o600)
    database = real_stage.root / "shop.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("create table orders (n); insert into orders values (1), (2);")
    owner = database.owner()
    (real_stage.options.parts_dir / "shop.yml").write_text(
        f"name: shop\npaths: [{folder}]\nsqlite: [{{database: {database}, user: {owner}}}]\n"
    )
    assert real_stage.run(sources=sources.of) == 0
    shutil.rmtree(folder)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("drop table orders;")

    shown = restore()
    assert (shown.returncode, "shop: 20" in shown.stdout) == (0, True)
    plan = restore("latest", "--dry-run")
    assert (plan.returncode, f"{database} (SQLite)" in plan.stdout) == (0, True)
    assert not folder.exists()

    done = restore("latest", "--yes")
    assert done.returncode == 0, done.stderr
    assert "shop is restored" in done.stdout
    assert (folder / "more/key").read_text() == "a secret"
    assert (folder / "more/key").stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("select sum(n) from orders").fetchone() == (3,)
    assert not (real_stage.options.stage_dir.parent / "restore").exists()

    back = restore("--undo")
    assert back.returncode == 0, back.stderr
    assert not folder.exists()

    one = restore("latest", "shop", "--yes", "--database", "shop.db")
    assert one.returncode == 0, one.stderr
    assert not folder.exists()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("select count(*) from orders").fetchone() == (2,)


def test_what_the_repository_damaged_is_not_put(real_stage: Stage, restore: Restore) -> None:
    data = real_stage.part("alpha", secrets.token_hex(200_000))
    assert real_stage.run(sources=sources.of) == 0
    data.write_text("since")
    pack = max((real_stage.root / "keys/repository/data").rglob("*"), key=_size)
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(raw)
    done = restore("latest", "--yes")
    assert done.returncode == 1
    assert "restic restore ended with 1" in done.stderr
    assert "Nothing was touched" in done.stderr
    assert data.read_text() == "since"


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        # The check judges the copy, and once more what has taken its place.
        (1, 1, "lookout-restore: interrupted, nothing was touched\n"),
        (2, 3, "shop: it was interrupted. Now: shop is as it was before\n"),
    ],
)
def test_an_interruption(
    real_stage: Stage, restore: Restore, asked: int, status: int, says: str
) -> None:
    data, count = real_stage.root / "data", real_stage.root / "count"
    data.write_text("saved")
    script = (
        f"echo >> {count}; [ $(wc -l < {count}) -ne {asked} ] || {{ kill -INT $PPID; sleep 9; }}"
    )
    part = {"name": "shop", "paths": [str(data)], "check": ["sh", "-c", script]}
    (real_stage.options.parts_dir / "shop.yml").write_text(json.dumps(part))
    assert real_stage.run(sources=sources.of) == 0
    data.write_text("since")
    done = restore("latest", "--yes")
    assert (done.returncode, done.stderr.endswith(says)) == (status, True), done.stderr
    assert data.read_text() == "since"
    work = real_stage.options.stage_dir.parent
    assert not (work / "restore").exists()
    assert not list((work / "aside").glob("*"))
    assert not list(real_stage.root.glob(".*lookout*"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@pytest.mark.parametrize(
    "argv",
    [
        ["--undo", "--resume"],
        ["latest", "--undo"],
        ["latest", "--file", "/etc/passwd"],
        ["latest", "alpha", "--file", "/a", "--database", "b"],
        ["latest", "--snapshot", "1234"],
        ["latest", "--to", "/x", "--database", "a"],
        ["--yes"],
        ["--to", "/x"],
    ],
)
def test_what_does_not_go_together(restore: Restore, argv: list[str]) -> None:
    done = restore(*argv)
    assert done.returncode == 2
    assert done.stderr.startswith("lookout-restore: ")


def test_a_relative_path_is_refused(restore: Restore) -> None:
    done = restore("latest", "alpha", "--to", "there")
    assert (done.returncode, "absolute path" in done.stderr) == (2, True)


def test_the_help_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        PROGRAM.run(lambda *_: 0, ["--help"])
    shown = capsys.readouterr().out
    assert shown.startswith("usage: lookout-restore ")
    assert "3: a part failed and is as it was before" in shown


@pytest.mark.parametrize("failed", [True, False])
def test_a_restore_that_failed_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, failed: bool
) -> None:
    told: list[str] = []
    journal: list[str] = []
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("syslog.syslog", lambda _level, text: journal.append(text))

    def stop(_context: Context) -> None:
        raise Stop("alpha: it broke", AS_BEFORE, failed=failed)

    monkeypatch.setattr(session, "run", stop)
    options = RunOptions(instance=HOST, store=Store("store", "user", tmp_path))
    parser = argparse.ArgumentParser()
    wishes.add(parser)
    kit = Kit("backup", options, parser.parse_args(["latest"]))
    monkeypatch.setattr(kit.reports, "message", lambda text, **_: told.append(text))
    assert serve(options, kit) == AS_BEFORE
    assert told == (["restore on app1: alpha: it broke"] if failed else [])
    assert journal == (["alpha: it broke"] if failed else [])
