"""The program around a drill: exit statuses, messages, one at a time; and the scratch place."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drill_store import HOST

from lookout.backup.drill import __main__ as program
from lookout.backup.drill import since
from lookout.backup.drill.results import Drill, HostResult, PartResult
from lookout.backup.drill.run import Order, in_order
from lookout.backup.drill.scratch import Scratch, remove
from lookout.backup.drill.state import HostState
from lookout.backup.drill.state import save as save_states

GOOD = PartResult("grafana", saved=time.time(), restore_seconds=1.0)
BAD = PartResult("shop", failures=("/etc/shop: missing",))
UNKNOWN = PartResult("prometheus", errors=("no Prometheus is on this host",))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    file = tmp_path / "restore_drill.yml"
    about = {
        "instance": "here",
        "hosts": [HOST],
        "store": {"address": "localhost", "user": "store", "known_hosts": "/none"},
        "state_dir": f"{tmp_path}/state",
        "metrics_file": f"{tmp_path}/restore_drill.prom",
    }
    file.write_text(yaml.safe_dump(about), encoding="ascii")
    return file


def run(
    monkeypatch: pytest.MonkeyPatch, config: Path, *arguments: str, parts: tuple[PartResult, ...]
) -> tuple[int, list[dict[str, Any]], list[Order]]:
    """The exit status, the messages and the order of one run that finds these parts."""
    told: list[dict[str, Any]] = []
    orders: list[Order] = []

    def drill(_options: object, order: Order) -> Drill:
        orders.append(order)
        return Drill("here", time.time(), 1.0, (HostResult(HOST, parts),), bool(order.parts))

    def message(_self: object, text: str, level: str = "error", **more: Any) -> None:
        told.append({"text": text, "level": level, **more})

    monkeypatch.setattr(program, "drill", drill)
    monkeypatch.setattr("lookout.kit.reports.Reports.message", message)
    status = program.PROGRAM.run(program.serve, ["--config", str(config), *arguments])
    return status, told, orders


@pytest.mark.parametrize(
    ("part", "status", "level"), [(GOOD, 0, ""), (BAD, 3, "error"), (UNKNOWN, 4, "warning")]
)
def test_the_status_says_how_it_was_and_people_are_told(
    monkeypatch: pytest.MonkeyPatch, config: Path, part: PartResult, status: int, level: str
) -> None:
    found, told, _ = run(monkeypatch, config, parts=(GOOD, part))
    assert found == status
    assert [one["level"] for one in told] == [level] * bool(level)
    if level:
        assert (*part.failures, *part.errors)[0] in told[0]["text"]
        assert told[0]["fingerprint"] == ("restore_drill", HOST, {3: "failed", 4: "error"}[status])
    written = config.with_name("restore_drill.prom").read_text("ascii")
    assert f'lookout_restore_drill_part_passed{{host="{HOST}",part="grafana"}} 1.0' in written
    assert (config.parent / "state/reports/index.html").exists()


def test_a_drill_of_some_parts_leaves_metrics_and_messages_alone(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    status, told, orders = run(monkeypatch, config, "--part", "shop", parts=(BAD,))
    assert (status, told, orders) == (3, [], [Order((HOST,), ("shop",))])
    assert not config.with_name("restore_drill.prom").exists()
    assert (config.parent / "state/reports/latest.json").exists()


def test_since_when_hosts_wait_for_a_drill_is_known_before_the_first_one(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    prom, name = config.with_name("restore_drill.prom"), "lookout_restore_drill_known_since"
    times = re.compile(rf'^{name}_timestamp_seconds{{host="(\S+)"}} (\S+)$', re.M)
    before = time.time()
    assert run(monkeypatch, config, "--note-hosts", parts=(BAD,)) == (0, [], [])
    [(host, noted)] = times.findall(prom.read_text("ascii"))
    assert host == HOST
    assert before - 1 <= float(noted) <= time.time()
    assert "last_run" not in re.sub("#.*", "", prom.read_text("ascii"))
    # A drill does not make it later, nor does the next deployment, which knows a host more.
    run(monkeypatch, config, parts=(GOOD,))
    assert times.findall(prom.read_text("ascii")) == [(HOST, noted)]
    about = yaml.safe_load(config.read_text("ascii"))
    config.write_text(yaml.safe_dump({**about, "hosts": [HOST, "app9"]}), encoding="ascii")
    run(monkeypatch, config, "--note-hosts", parts=())
    found = dict(times.findall(prom.read_text("ascii")))
    assert found[HOST] == noted
    assert float(found["app9"]) > float(noted)
    assert 'result{host="app1",result="passed"} 1.0' in prom.read_text("ascii")
    # One that is drilled elsewhere from now on is nobody's here any more.
    config.write_text(yaml.safe_dump({**about, "hosts": ["app9"]}), encoding="ascii")
    run(monkeypatch, config, "--note-hosts", parts=())
    assert HOST not in prom.read_text("ascii")


def test_of_a_clock_that_was_ahead_no_host_waits_from_then_on(tmp_path: Path) -> None:
    assert since.follow({"a": 5.0, "b": 99.0, "c": 1.0}, ["a", "b", "d"], 10.0) == {
        "a": 5.0,
        "b": 10.0,
        "d": 10.0,
    }
    for text in ("{", "[]", '{"a": null}'):
        (tmp_path / "since.json").write_text(text, "ascii")
        assert since.load(tmp_path / "since.json") == {}


def test_whoever_waits_longest_for_a_pass_is_first(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    about = yaml.safe_load(config.read_text("ascii"))
    hosts = ["app1", "app2", "app3"]
    config.write_text(yaml.safe_dump({**about, "hosts": hosts}), encoding="ascii")
    passed = {"app1": 20.0, "app2": None, "app3": 10.0}
    states = {host: HostState(30.0, "failed", at) for host, at in passed.items()}
    save_states(states, config.parent / "state/state.json")
    orders = run(monkeypatch, config, parts=(GOOD,))[2]
    assert orders == [Order(("app2", "app3", "app1"))]


def test_there_is_one_drill_at_a_time(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    with (config.parent / "state/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        status, told, orders = run(monkeypatch, config, parts=(GOOD,))
    assert (status, orders) == (1, [])
    assert "another drill goes on" in told[0]["text"]
    assert run(monkeypatch, config, parts=(GOOD,))[0] == 0


def test_a_host_that_is_not_drilled_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    status, told, orders = run(monkeypatch, config, "--host", "app9", parts=(GOOD,))
    assert (status, told, orders) == (2, [], [])
    assert in_order([], ["a", "b"]) == ("a", "b")
    assert in_order(["b", "b"], ["a", "b"]) == ("b",)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("skip", ["grafana"], "is no part of a host"),
        ("hosts", [], "must have at least 1"),
        ("timeout_hours", 0, "must be more than 0"),
        ("keep_reports", 0, "must be at least 1"),
    ],
)
def test_a_wrong_configuration_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str], key: str, value: object, why: str
) -> None:
    about = yaml.safe_load(config.read_text("ascii"))
    config.write_text(yaml.safe_dump({**about, key: value}), encoding="ascii")
    assert program.PROGRAM.run(program.serve, ["--config", str(config), "--check"]) == 2
    assert why in capsys.readouterr().err


# --- scratch ---


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """What a drill left that was killed: a server in its folder, and files that are closed."""
    left = tmp_path / "scratch/drill-old/data"
    (left / "closed").mkdir(parents=True)
    (left / "closed/file").touch(0o400)
    (left / "link").symlink_to(tmp_path)
    process = subprocess.Popen(["sleep", "600"], cwd=left, start_new_session=True)
    (left / "closed").chmod(0o000)
    yield process
    process.kill()
    process.wait()


def test_what_a_killed_drill_left_is_taken_away(
    tmp_path: Path, server: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "other").touch()
    Scratch(tmp_path / "scratch").clear()
    assert server.wait(5) == -9
    assert [*(tmp_path / "scratch").iterdir()] == []
    assert (tmp_path / "other").exists(), "what a link led to is still there"


def test_processes_that_work_elsewhere_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path) as other:
        try:
            Scratch(tmp_path / "scratch").clear()
            assert other.poll() is None
        finally:
            other.kill()


def test_a_server_that_a_judge_left_ends_with_the_folder(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    with scratch.folder() as folder:
        left = subprocess.Popen(
            ["sleep", "600"], env={"DATA": str(folder), "PATH": os.environ["PATH"]}
        )
        assert set(scratch.processes(folder)) == {left.pid}
    assert left.wait(5) == -9
    assert [*tmp_path.iterdir()] == []


def test_what_is_kept_stays_until_the_next_drill(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    with scratch.folder(keep=True) as folder:
        (folder / "copy").touch()
    assert (folder / "copy").exists()
    assert folder.name.startswith("drill-")
    scratch.clear()
    assert [*tmp_path.iterdir()] == []


def test_a_single_file_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remove(tmp_path / "file")
    assert [*tmp_path.iterdir()] == []
