"""Prometheus: whose snapshots are deleted, and what is made of its answers, without a server."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.backup.parts import Prometheus
from lookout.backup.sources import (
    CannotJudgeError,
    SourceError,
    prometheus,
    prometheus_api,
    trees,
)
from lookout.backup.sources.prometheus import PrometheusSource, moments, own_leftovers
from lookout.backup.sources.prometheus_api import Api
from lookout.backup.sources.trees import user_name

NOW = 1_700_000_000.0
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def snapshot_name(at: float, number: int = 1) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}-{number:016x}"


def block(folder: Path, name: str = ULID) -> Path:
    """A block as it looks from outside."""
    made = folder / name
    (made / "chunks").mkdir(parents=True)
    (made / "chunks/000001").write_bytes(b"c" * 100)
    (made / "index").write_bytes(b"i" * 50)
    stats = {"numSamples": 10, "numSeries": 2}
    meta = {"minTime": (NOW - 7200) * 1000, "maxTime": NOW * 1000, "stats": stats}
    (made / "meta.json").write_text(json.dumps(meta), encoding="ascii")
    return made


class Told:
    """A Prometheus with canaries every 15 s from one moment to another."""

    def __init__(self, first: float, last: float, **series: int) -> None:
        self.first, self.last, self.series = first, last, series

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        if expression.startswith("count by (job)"):
            return [
                {"metric": {"job": job}, "value": [at, str(number)]}
                for job, number in self.series.items()
            ]
        if window := re.search(r"min_over_time\(.*\[([0-9]+)s\]", expression):
            # Left open, as since Prometheus 3
            first = max(self.first, self.first + (at - int(window[1]) - self.first) // 15 * 15 + 15)
            return [{"metric": {}, "value": [at, str(first)]}] if first <= at else []
        newest = self.first + (min(at, self.last) - self.first) // 15 * 15
        # Older than five minutes is no value.
        if not self.first <= at < newest + 300:
            return []
        return [{"metric": {}, "value": [at, str(newest)]}]


def told(first: float = NOW - 90 * 86400, last: float = NOW, **series: int) -> Api:
    return cast("Api", Told(first, last, **(series or {"node_exporter": 500})))


# --- snapshots ---


@given(
    at=st.floats(NOW - 86400, NOW + 86400),
    before=st.booleans(),
    named=st.sampled_from(["{}", "{}x", ".{}", "mine", ".lookout-asked.json"]),
)
def test_only_the_snapshot_that_was_asked_for_is_deleted(
    at: float, before: bool, named: str
) -> None:
    name = named.format(snapshot_name(at))
    asked = {"at": NOW, "before": [name] if before else []}
    own = named == "{}" and not before and -1 <= int(at) - NOW <= 60
    assert own_leftovers([name], asked) == [name] * own


class Server(http.server.BaseHTTPRequestHandler):
    """Makes snapshots as Prometheus does, and may die in the midst of one."""

    data: Path
    dies = False
    canary = True

    def do_POST(self) -> None:
        now = datetime.now(UTC).timestamp()
        name = snapshot_name(now)
        block(self.data / "snapshots" / name)
        if not self.dies:
            self._say({"name": name})

    def do_GET(self) -> None:
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        at = float(query["time"])
        told = Told(NOW, 9e9) if self.canary else Told(9e9, 9e9)
        self._say({"result": told.query(query["query"], at)})

    def _say(self, data: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "success", "data": data}).encode())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Server, "data", tmp_path / "data", raising=False)
    (tmp_path / "data").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def source(server: str, tmp_path: Path) -> PrometheusSource:
    return PrometheusSource(Prometheus(server, tmp_path / "data", user_name(os.getuid())), 10)


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path / "stage"


def test_the_snapshot_is_taken_over_by_links_and_deleted(
    source: PrometheusSource, stage: Path, tmp_path: Path
) -> None:
    others = tmp_path / "data/snapshots" / snapshot_name(NOW - 86400)
    others.mkdir(parents=True)
    source.save(stage)
    assert list((tmp_path / "data/snapshots").iterdir()) == [others]
    facts = source.describe(stage)
    assert facts["blocks"][ULID]["samples"] == 10
    assert facts["blocks"][ULID]["from"] == NOW - 7200
    assert (stage / ULID / "index").stat().st_size == 50
    assert set(facts["canaries"]) == {"oldest", "hour", "newest"}


def test_a_link_in_the_place_of_the_snapshots_gives_nothing_away(
    source: PrometheusSource, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(os, "chown", lambda *args, **_: given.append(args))
    (tmp_path / "others").mkdir()
    (tmp_path / "data/snapshots").symlink_to(tmp_path / "others")
    with pytest.raises(SourceError, match="snapshots is no folder"):
        source.save(stage)
    assert given == []
    assert list((tmp_path / "others").iterdir()) == []


def test_a_linked_file_keeps_its_owner(
    stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, *_, **__: given.append(Path(path).name))
    trees.copy(block(tmp_path), stage / ULID, link=True)
    assert sorted(given) == [ULID, "chunks"]


def test_what_a_killed_run_left_is_deleted_by_the_next_one(
    source: PrometheusSource, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "dies", True)
    monkeypatch.setattr(PrometheusSource, "_clean", lambda _: None)
    with pytest.raises(SourceError):
        source.save(stage)
    monkeypatch.undo()
    monkeypatch.setattr(Server, "data", tmp_path / "data", raising=False)
    snapshots = tmp_path / "data/snapshots"
    assert len(list(snapshots.glob("2*"))) == 1
    # Somebody's own, made later
    (snapshots / snapshot_name(datetime.now(UTC).timestamp() + 3600)).mkdir()
    source.save(stage)
    assert len(list(snapshots.iterdir())) == 1


def test_a_server_without_a_canary_is_no_success(
    source: PrometheusSource, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "canary", False)
    with pytest.raises(SourceError, match="lookout:canary has no sample"):
        source.save(stage)
    assert list((tmp_path / "data/snapshots").iterdir()) == []


def test_blocks_are_copied_where_they_cannot_be_linked(
    source: PrometheusSource, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "another filesystem")

    monkeypatch.setattr(os, "link", refuse)
    source.save(stage)
    assert (stage / ULID / "chunks/000001").read_bytes() == b"c" * 100


def test_samples_that_must_be_copied_do_not_fill_the_disk(
    source: PrometheusSource, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "another filesystem")

    usage = shutil.disk_usage(stage)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=256 << 20))
    source.save(stage)
    shutil.rmtree(stage / ULID)
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(SourceError, match=r"on another filesystem than .* 256 MiB free"):
        source.save(stage)
    assert not (stage / ULID).exists()


# --- what it answers ---


@pytest.mark.parametrize(
    ("age", "oldest", "hour"), [(90 * 86400, 90 * 86400, 3630), (1800, 1800, 1800), (10, 10, 10)]
)
def test_canaries_are_looked_at_where_there_are_some(
    age: float, oldest: float, hour: float
) -> None:
    facts = prometheus.ask(told(first=NOW - age), NOW, NOW - 100 * 86400)
    assert facts["canaries"]["oldest"]["at"] == NOW - oldest
    assert facts["canaries"]["hour"]["at"] == NOW - hour
    assert all(one["value"] is not None for one in facts["canaries"].values())
    assert facts["series"]["by_job"] == {"node_exporter": 500}


@pytest.mark.parametrize("age", [0.1, 20, 20.9, 3600.5])
def test_the_first_sample_of_all_may_be_the_canary(age: float) -> None:
    facts = prometheus.ask(told(first=NOW - age), NOW, NOW - age)
    assert facts["canaries"]["oldest"]["value"] == NOW - age


def test_moments_are_never_before_the_first_sample() -> None:
    assert moments(5.0, 10.0) == {"oldest": 5.0, "hour": 5.0, "newest": 10.0}


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        (told(), []),
        (told(first=NOW - 86400), ["the canary at the oldest moment is None"]),
        (told(last=NOW - 86400), ["the canary at the hour moment is None", "at the newest moment"]),
        (told(first=NOW - 90 * 86400 + 1), ["oldest moment", "hour moment", "newest moment"]),
        (told(node_exporter=499), ["job 'node_exporter' has 499 series, had 500"]),
        (told(node_exporter=500, more=1), ["job 'more' has 1 series, had 0"]),
    ],
)
def test_a_copy_that_answers_otherwise_is_found_out(copy: Api, said: list[str]) -> None:
    facts = json.loads(json.dumps(prometheus.ask(told(), NOW, NOW - 100 * 86400)))
    found = [*prometheus.answers(copy, facts)]
    assert len(found) == len(said)
    assert all(part in one for part, one in zip(said, found, strict=True))


def test_loaded_blocks_are_read_from_its_metrics() -> None:
    metrics = "# TYPE prometheus_tsdb_blocks_loaded gauge\nprometheus_tsdb_blocks_loaded 12\n"
    assert prometheus.blocks_loaded(metrics) == 12
    assert prometheus.blocks_loaded("") == -1


# --- a copy ---


@pytest.fixture
def facts(stage: Path) -> dict[str, Any]:
    """Of a copy with one block."""
    block(stage)
    (stage / "facts.json").touch()
    answers = prometheus.ask(told(), NOW, NOW - 100 * 86400)
    return {"blocks": prometheus.blocks(stage), **answers}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda top: (top / "chunks/000001").write_bytes(b"d" * 100), "changed: sha256"),
        (lambda top: (top / "chunks/000001").write_bytes(b"c" * 99), "changed: bytes, sha256"),
        (lambda top: (top / "index").unlink(), "changed: bytes, sha256"),
        (lambda top: (top / "tombstones").touch(), "changed: sha256"),
        (shutil.rmtree, "is missing"),
        (lambda top: (top / "meta.json").write_text("{"), "meta.json cannot be read"),
        (lambda top: (top.parent / "01ARZ3NDEKTSV4RRFFQ69G5FAX").mkdir(), "not part of the backup"),
    ],
)
def test_damage_is_found_before_a_server_is_started(  # noqa: PLR0917
    stage: Path,
    facts: dict[str, Any],
    source: PrometheusSource,
    damage: Callable[[Path], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    damage(stage / ULID)
    judged = source.judge(stage, facts, stage)
    assert said in next(judged)


def test_only_blocks_are_given_to_a_server(
    stage: Path, facts: dict[str, Any], source: PrometheusSource, tmp_path: Path
) -> None:
    facts["blocks"]["queries.active"] = {}
    (stage / "queries.active").symlink_to(tmp_path / "anything")
    (said,) = source.judge(stage, facts, stage)
    assert said == "the manifest names 'queries.active', which is no block"


def test_a_good_copy_is_judged_by_a_prometheus_or_not_at_all(
    stage: Path, facts: dict[str, Any], source: PrometheusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CannotJudgeError, match="no Prometheus is on this host"):
        [*source.judge(stage, facts, stage)]


def test_a_manifest_without_samples_proves_nothing(source: PrometheusSource, stage: Path) -> None:
    (said,) = source.judge(stage, {}, stage)
    assert "there is nothing to compare with" in said


@pytest.mark.parametrize(
    ("program", "raised", "said"),
    [
        ("exit 3", CannotJudgeError, "does not start on this host: it ended with 3"),
        ("ls $data/* >/dev/null 2>&1 && kill -9 $$", CannotJudgeError, "Prometheus was killed"),
        (
            "ls $data/* >/dev/null 2>&1 || exec python3 -m http.server -d answers ${address##*:}",
            SourceError,
            "does not start with these samples: it ended with 1",
        ),
    ],
)
def test_a_prometheus_that_does_not_start_is_told_from_bad_samples(
    tmp_path: Path,
    program: str,
    raised: type[Exception],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin/prometheus"
    # Its second argument is the folder, a later one its address.
    words = "data=${2#*=}; for one; do address=$one; case $one in --web*) break; esac; done"
    stand_in.write_text(f"#!/bin/sh\n{words}\n{program}\nexit 1\n", encoding="ascii")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "answers/-").mkdir(parents=True)
    (tmp_path / "answers/-/ready").touch()
    block(tmp_path / "data")
    with (
        pytest.raises(raised, match=re.escape(said)),
        prometheus_api.scratch_prometheus(tmp_path / "data", tmp_path, 5),
    ):
        pytest.fail("it cannot have started")


def test_samples_are_put_back_and_what_was_there_comes_back(
    stage: Path, facts: dict[str, Any], source: PrometheusSource, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "wal").mkdir()
    (data / "wal/00000001").touch()
    for _ in range(2):
        source.put(stage, facts, tmp_path / "aside")
        assert os.listdir(data) == [ULID]
        assert (data / ULID / "index").read_bytes() == b"i" * 50
    for _ in range(2):
        source.undo(tmp_path / "aside")
        assert os.listdir(data) == ["wal"]


def test_a_damaged_copy_does_not_replace_anything(
    stage: Path, facts: dict[str, Any], source: PrometheusSource, tmp_path: Path
) -> None:
    (stage / ULID / "index").write_bytes(b"")
    with pytest.raises(SourceError, match="has changed"):
        source.put(stage, facts, tmp_path / "aside")
    assert (tmp_path / "data").is_dir()
    assert not (tmp_path / "aside").exists()


@pytest.mark.parametrize("status", [404, 500])
def test_what_prometheus_says_is_told(
    source: PrometheusSource, stage: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Server) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"error": "admin APIs disabled"}')

    monkeypatch.setattr(Server, "do_POST", refuse)
    with pytest.raises(SourceError, match=f"{status} .*admin APIs disabled"):
        source.save(stage)
