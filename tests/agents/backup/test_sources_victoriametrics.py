"""VictoriaMetrics: what is made of a snapshot, with a stand-in for its API."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookout.backup.parts import Victoriametrics
from lookout.backup.sources import CannotJudgeError, SourceError, trees, victoriametrics
from lookout.backup.sources.victoriametrics import VictoriametricsSource

NAME = "20261126063220-18EB84A8F56CE6F9"


class Server:
    """Makes a snapshot of three files as VictoriaMetrics does, and deletes it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.name = NAME
        self.jobs: dict[str, int] = {"node_exporter": 5}
        self.asked: list[str] = []
        self.url = ""
        self.files = {
            "data/small/2026_11/part/values.bin": b"values",
            "data/small/2026_11/parts.json": b"[]",
            "indexdb/18EB84A8F56CE6F0/part/items.bin": b"items",
        }
        for name, text in self.files.items():
            self.write(top / name, text)

    @staticmethod
    def write(path: Path, text: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)

    def answer(self, path: str) -> Any:
        self.asked.append(path)
        if path == "/snapshot/create":
            for kind in ("data/small", "data/big", "indexdb"):
                (self.top / kind / "snapshots" / NAME).mkdir(parents=True)
            for name, text in self.files.items():
                kind = "indexdb" if name.startswith("indexdb") else "data/small"
                rest = Path(name).relative_to(kind)
                self.write(self.top / kind / "snapshots" / NAME / rest, text)
            self.write(self.top / "snapshots" / NAME / "metadata/minTimestamp", b"{}")
            return {"status": "ok", "snapshot": self.name}
        if path == "/snapshot/delete":
            for found in [*self.top.rglob(NAME)]:
                shutil.rmtree(found) if not found.is_symlink() else found.unlink()
            return {"status": "ok"}
        series = [{"metric": {"job": job}, "value": [0, str(n)]} for job, n in self.jobs.items()]
        return {"data": {"result": series}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "live")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(made.answer(urllib.parse.urlsplit(self.path).path)).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        made.url = f"http://127.0.0.1:{listening.server_port}"
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield made
        listening.shutdown()


def source(server: Server) -> VictoriametricsSource:
    user = trees.user_name(os.geteuid())
    return VictoriametricsSource(Victoriametrics(server.url, server.top, user), 10)


def saved(server: Server, tmp_path: Path) -> Path:
    stage = tmp_path / "stage"
    stage.mkdir()
    source(server).save(stage)
    return stage


def test_a_copy_is_what_a_server_starts_from_and_the_snapshot_goes(
    server: Server, tmp_path: Path
) -> None:
    stage = saved(server, tmp_path)
    found = victoriametrics.files(stage / "data")
    assert set(found) == {*server.files, "metadata/minTimestamp"}
    assert (stage / "data/data/big").is_dir()
    assert not [*server.top.rglob(NAME)]
    facts = source(server).describe(stage)
    assert facts["files"].keys() == found.keys()
    assert facts["series"]["by_job"] == {"node_exporter": 5}


def test_a_restored_copy_takes_the_place_of_what_was_there_and_gives_way(
    server: Server, tmp_path: Path
) -> None:
    stage = saved(server, tmp_path)
    before = victoriametrics.files(stage / "data")
    server.write(server.top / "data/small/2026_12/newer", b"newer")
    one, aside = source(server), tmp_path / "aside"
    aside.mkdir()
    one.put(stage, one.describe(stage), aside)
    assert victoriametrics.files(server.top) == before
    # Not the same files: a server writes into its own ones.
    for name in server.files:
        assert (server.top / name).stat().st_nlink == 1
    one.undo(aside)
    assert (server.top / "data/small/2026_12/newer").exists()


@pytest.mark.parametrize("how", ["changed", "missing", "more"])
def test_a_damaged_copy_is_found_and_not_put(server: Server, tmp_path: Path, how: str) -> None:
    stage = saved(server, tmp_path)
    one = source(server)
    facts = one.describe(stage)
    file = stage / "data/data/small/2026_11/part/values.bin"
    if how == "changed":
        file.unlink()
        file.write_bytes(b"VALUES")
    elif how == "missing":
        file.unlink()
    else:
        (file.parent / "strange").write_bytes(b"x")
    assert [*one.judge(stage, facts, tmp_path)]
    with pytest.raises(SourceError):
        one.put(stage, facts, tmp_path)
    assert (server.top / "data/small/2026_11/part/values.bin").read_bytes() == b"values"


def test_a_copy_without_facts_or_a_host_without_the_program(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = saved(server, tmp_path)
    one = source(server)
    assert [*one.judge(stage, {}, tmp_path)]
    monkeypatch.setattr(victoriametrics, "PROGRAM", "victoria-metrics-that-nobody-has")
    with pytest.raises(CannotJudgeError):
        [*one.judge(stage, one.describe(stage), tmp_path)]


@pytest.mark.parametrize("name", ["../../etc", "", f"{NAME}/.."])
def test_a_snapshot_of_another_name_is_not_taken(server: Server, tmp_path: Path, name: str) -> None:
    server.name = name
    with pytest.raises(SourceError, match="names its snapshot"):
        saved(server, tmp_path)


def test_a_link_in_the_place_of_a_folder_is_not_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_bytes(b"secret")

    def planted(path: str, real: Any = server.answer) -> Any:
        said = real(path)
        if path == "/snapshot/create":
            place = server.top / "indexdb/snapshots" / NAME
            shutil.rmtree(place)
            place.symlink_to(tmp_path / "secrets")
        return said

    server.answer = planted  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="no folder of the snapshot"):
        saved(server, tmp_path)
    assert not [*(tmp_path / "stage").rglob("key")]


def test_without_series_nothing_is_saved(server: Server, tmp_path: Path) -> None:
    server.jobs = {}
    with pytest.raises(SourceError, match="no series"):
        saved(server, tmp_path)
    assert "/snapshot/create" not in server.asked
