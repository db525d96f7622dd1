"""Disks that get full in the midst of a backup, on real small file systems."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from backup_stage import HOST, PLENTY, Copied, LocalClient, Stage
from small_disk import fill, mount, with_own_mounts

from lookout.backup import run, serve, store_upkeep
from lookout.backup.night import Night
from lookout.backup.parts import Part
from lookout.backup.restic import Repository
from lookout.backup.sources import Facts, Source, of
from lookout.backup.store_options import MARKER, StoreOptions

MEGABYTE = 1 << 20


class Crowded(Copied):
    """A real source, beside which somebody else fills the disk once there was room enough."""

    def __init__(self, part: Part, source: Source, other: Path) -> None:
        super().__init__(part)
        self._source, self._other = source, other
        self.name = source.name

    def bytes_needed(self) -> int:
        self._other.unlink(missing_ok=True)
        return self._source.bytes_needed()

    def save(self, folder: Path) -> None:
        fill(self._other, leave_bytes=MEGABYTE // 2)
        self._source.save(folder)

    def describe(self, folder: Path) -> Facts:
        return self._source.describe(folder)


def test_a_stage_that_gets_full_in_the_midst_fails_what_does_not_fit(real_stage: Stage) -> None:
    database = real_stage.root / "wiki.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table pages (text)")
        connection.execute("insert into pages values (randomblob(3000000))")
    real_stage.part("files", os.urandom(1_500_000).hex())
    real_stage.part("small")
    (real_stage.options.parts_dir / "wiki.yml").write_text(
        f"name: wiki\nsqlite: [{{database: {database}, user: root}}]\n"
    )
    stage = real_stage.options.stage_dir

    def crowded(part: Part) -> Sequence[Source]:
        return [Crowded(part, one, stage.parent / "other") for one in of(part)]

    def body() -> None:
        mount(stage.parent, 16)
        assert real_stage.run(sources=crowded) == run.SOME_FAILED
        assert real_stage.good() == {"small"}
        (said,) = real_stage.reported
        assert "files: [Errno 28] No space left on device" in said
        assert said.count(f"; {stage} is full: ") == 2
        assert list(stage.iterdir()) == []
        (stage.parent / "other").unlink()
        assert real_stage.run(sources=of) == run.ALL_SAVED
        assert real_stage.good() == {"files", "small", "wiki"}
        assert list(stage.iterdir()) == []

    with_own_mounts(body)


def by_rclone(stage: Stage, repository: Path) -> None:
    """Go to the repository by the very command of the store."""
    argv, environment = serve.command(repository, may_write=True)
    os.environ.update(environment | {"PATH": os.environ["PATH"]})
    way = ["-o", f"rclone.program={argv[0]}", "-o", f"rclone.args={' '.join(argv[1:-1])}"]
    way += ["--repo", f"rclone:{argv[-1]}"]
    stage.client = LocalClient(stage.options, Repository(stage.options, HOST, way))


def test_a_store_that_gets_full_in_the_midst_fails_what_does_not_fit(
    real_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(real_stage.root))
    real_stage.part("first")
    real_stage.part("large", os.urandom(6_000_000).hex(), timeout_seconds=8)
    real_stage.part("middle", os.urandom(300_000).hex())
    keys = real_stage.root / "keys"

    def body() -> None:
        mount(keys, 6)
        by_rclone(real_stage, keys / "repository")
        real_stage.client.answer = replace(PLENTY, free_bytes=2 * MEGABYTE)
        monkeypatch.setattr(Night, "check_room", lambda *_: None)
        assert real_stage.run() == run.SOME_FAILED
        assert real_stage.good() == {"first", "middle"}
        (said,) = real_stage.reported
        assert "large: it took longer than 8 s, and was ended; the store is full: 2.0 MiB" in said
        packs = [one for one in (keys / "repository").rglob("*") if one.is_file()]
        assert [one for one in packs if not one.stat().st_size] == []
        mount(keys, 40)
        real_stage.part("large", os.urandom(6_000_000).hex())
        assert real_stage.run() == run.ALL_SAVED
        repository = real_stage.client.repository(HOST)
        repository.unlock()
        done = repository.run("check", "--read-data", timeout_seconds=60)
        assert done.returncode == 0, done.stderr

    with_own_mounts(body)


def test_a_store_that_is_full_to_the_last_byte_is_not_called_damaged(real_stage: Stage) -> None:
    real_stage.part("alpha")
    assert real_stage.run() == run.ALL_SAVED
    keys = real_stage.root / "keys"
    (keys / MARKER).write_text("store 1")
    (keys / "repository").rename(keys / HOST)
    told: dict[str, str] = {}
    options = StoreOptions(
        instance="store", path=keys, identity="store 1", check_nights=1,
        metrics_file=real_stage.root / "store.prom", state_file=real_stage.root / "store.json",
    )  # fmt: skip

    def night() -> int:
        return store_upkeep.once(options, [HOST], told.__setitem__, time.time())

    def body() -> None:
        mount(keys, 8)
        fill(keys / "other")
        assert night() == 1
        assert "no space left on device" in told[HOST]
        assert "check_success{" not in options.metrics_file.read_text()
        (keys / "other").unlink()
        assert night() == 0
        assert f'check_success{{host="{HOST}"}} 1.0' in options.metrics_file.read_text()

    with_own_mounts(body)
