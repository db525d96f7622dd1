"""The program: arguments, exit status, files, notices to systemd, reports."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from lookout.kit import files, metrics, reports, systemd
from lookout.kit.config import option
from lookout.kit.options import ErrorOptions, MetricsOptions, Options
from lookout.kit.program import Kit, Program

DSN = "http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1"


@dataclass(frozen=True, kw_only=True)
class TrialOptions(Options):
    rounds: int = option(1, at_least=1)


PROGRAM = Program("trial", TrialOptions, "A trial.")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals, loggers, hooks and the process' name are the test runner's."""
    name = Path("/proc/self/comm").read_text(encoding="ascii")
    signals = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    root = logging.getLogger()
    handlers, level, hook = [*root.handlers], root.level, threading.excepthook
    for variable in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    yield
    for handler in [*root.handlers]:
        root.removeHandler(handler)
        if handler not in handlers:
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    threading.excepthook = hook
    for one, former in signals.items():
        signal.signal(one, former)
    Path("/proc/self/comm").write_text(name, encoding="ascii")


def config(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "trial.yml"
    file.write_text(text, encoding="utf-8")
    return ["--config", str(file)]


def never(options: TrialOptions, kit: Kit) -> int:
    raise AssertionError("must not be served")


def test_check_says_what_is_wrong_and_serves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert PROGRAM.run(never, [*config(tmp_path, "rounds: 2"), "--check"]) == 0
    assert PROGRAM.run(never, [*config(tmp_path, "rounds: 0\nlog: {level: LOUD}"), "--check"]) == 2
    said = capsys.readouterr().err
    assert "trial.yml: rounds must be at least 1, got 0" in said
    assert "trial.yml: log.level must be one of DEBUG, INFO, WARN, ERROR" in said


def test_a_wrong_configuration_is_not_served(tmp_path: Path) -> None:
    assert PROGRAM.run(never, config(tmp_path, "rounds: 0")) == 2


def test_an_exception_ends_it_with_a_trace_in_the_log(tmp_path: Path) -> None:
    def fail(options: TrialOptions, kit: Kit) -> int:
        raise RuntimeError("of the agent")

    assert PROGRAM.run(fail, config(tmp_path, f"log: {{directory: {tmp_path}}}")) == 1
    logged = (tmp_path / "trial.log").read_text(encoding="utf-8")
    assert "ERROR lookout.kit: the agent ends" in logged
    assert "RuntimeError: of the agent" in logged


def test_a_port_that_is_taken_ends_it_with_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(options: TrialOptions, kit: Kit) -> int:
        kit.loop(lambda: pytest.fail("there is no round"), 1)
        return 0

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert PROGRAM.run(serve, config(tmp_path, f"metrics: {{port: {port}}}")) == 1
    assert "the metrics cannot be served" in capsys.readouterr().err


def test_the_loop_tells_systemd_and_ends_on_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        rounds = 0

        def serve(options: TrialOptions, kit: Kit) -> int:
            def step() -> float | None:
                nonlocal rounds
                rounds += 1
                if rounds == 1:
                    raise RuntimeError("one bad round is no reason to end")
                if rounds == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                return 0.5 if rounds == 2 else None

            kit.loop(step, 0.05)
            return 0

        assert PROGRAM.run(serve, config(tmp_path, "{}")) == 0
        listener.setblocking(False)
        try:
            while True:
                heard.append(listener.recv(100).decode())
        except BlockingIOError:
            pass
    assert rounds == 3
    assert heard[0] == "READY=1"
    assert heard[-1] == "STOPPING=1"
    # Twice in the half second of waiting, as systemd waits for 0.6 s
    assert heard.count("WATCHDOG=1") >= 4


def test_an_agent_whose_rounds_all_fail_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookout.kit.program.MOST_FAILURES", 3)
    rounds = []

    def serve(options: TrialOptions, kit: Kit) -> int:
        def step() -> None:
            rounds.append(1)
            raise OSError("no descriptors left")

        kit.loop(step, 0.01)
        return 0

    assert PROGRAM.run(serve, config(tmp_path, "{}")) == 1
    assert len(rounds) == 3


AGENT = """
import sys
from lookout.kit.options import Options
from lookout.kit.program import Program

def serve(options, kit):
    said = []

    def step():
        # In the loop signals have their handlers, and not before.
        if not said:
            said.append(print("serves", flush=True))

    kit.loop(step, 0.05)
    return 0

sys.exit(Program("trial", Options, "").run(serve))
"""


def test_signals_while_it_begins_anew_are_kept(tmp_path: Path) -> None:
    """Two requests in a row, then the end: none of them kills it by its default action."""
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    argv = [sys.executable, str(tmp_path / "agent.py"), *config(tmp_path, "{}")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as agent:
        try:
            assert agent.stdout
            assert agent.stdout.readline() == "serves\n"
            agent.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            agent.send_signal(signal.SIGHUP)
            assert agent.stdout.readline() == "serves\n"
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(20) == 0
        finally:
            agent.kill()


def test_a_credential_is_read_where_the_unit_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert systemd.credential("sentry_dsn") is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert systemd.credential("sentry_dsn") is None
    (tmp_path / "sentry_dsn").write_text(" a \n", encoding="utf-8")
    assert systemd.credential("sentry_dsn") == "a"


# --- files ---


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "x"
    files.write_atomically(file, "one", 0o640)
    assert file.stat().st_mode & 0o777 == 0o640
    with pytest.raises(TypeError):
        files.write_atomically(file, 5)  # type: ignore[arg-type]
    assert file.read_text(encoding="utf-8") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_takes_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        files.write_atomically(tmp_path / "none" / "x", "one")


# --- metrics ---


def test_the_metrics_server_answers_metrics_alone() -> None:
    registry = CollectorRegistry()
    Counter("trial_things", "Things.", registry=registry).inc(3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = metrics.serve(registry, MetricsOptions(port=port))
    assert server

    def ask(what: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(what)
            return b"".join(iter(lambda: client.recv(65536), b""))

    try:
        assert b"trial_things_total 3.0" in ask(b"GET /metrics?a=b HTTP/1.1\r\n\r\n")
        assert ask(b"GET /else HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404")
        assert ask(b"POST /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 501")
        assert ask(b"\xff\xfe\r\n\r\n").startswith((b"HTTP/1.1 400", b"<!DOCTYPE"))
    finally:
        server.shutdown()
        server.server_close()


def test_clients_that_drip_lose_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """All places are held by clients that always have one byte more to say."""
    monkeypatch.setattr(metrics, "CLIENT_SECONDS", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = metrics.serve(CollectorRegistry(), MetricsOptions(port=port))
    assert server
    place = ("127.0.0.1", port)
    slow = [socket.create_connection(place, 5) for _ in range(metrics.MOST_AT_ONCE)]
    started = time.monotonic()
    answer = b""
    while b"200 OK" not in answer and time.monotonic() - started < 10:
        for client in slow:
            with contextlib.suppress(OSError):
                client.send(b"G")
        with contextlib.suppress(OSError), socket.create_connection(place, 0.3) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            answer = client.recv(100)
    for client in slow:
        client.close()
    server.shutdown()
    server.server_close()
    assert b"200 OK" in answer


def test_a_text_file_of_metrics_can_be_read_by_others(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    Counter("trial_things", "Things.", registry=registry)
    metrics.write_textfile(registry, tmp_path / "trial.prom")
    assert (tmp_path / "trial.prom").stat().st_mode & 0o777 == 0o644
    assert "trial_things_total 0.0" in (tmp_path / "trial.prom").read_text(encoding="utf-8")


# --- reports ---


class Sent(list[dict[str, Any]]):
    """Stands in for the child that sends: the scenario of the role agent sends for real."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found = Sent()

    def send(self: reports.Reports, event: dict[str, Any]) -> str | None:
        found.append(json.loads(json.dumps(event)))
        return None

    monkeypatch.setattr(reports.Reports, "_send", send)
    return found


def make(dsn: str | None = DSN, **options: Any) -> tuple[reports.Reports, CollectorRegistry]:
    registry = CollectorRegistry()
    return reports.Reports("trial", "db1", ErrorOptions(**options), dsn, registry), registry


def test_an_exception_is_reported_with_its_causes_and_no_variables(sent: Sent) -> None:
    reporter, _ = make()
    try:
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError as error:
        reporter.exception(error, {"kind": "x"})
    assert reporter.flush(5)
    (event,) = sent
    assert event["server_name"] == "db1"
    assert [value["type"] for value in event["exception"]["values"]] == [
        "ValueError",
        "RuntimeError",
    ]
    frame = event["exception"]["values"][1]["stacktrace"]["frames"][-1]
    assert frame["context_line"].strip() == 'raise RuntimeError("outer") from error'
    assert "vars" not in frame
    assert event["tags"] == {"kind": "x"}


def test_more_than_the_limit_a_minute_is_counted_and_not_sent(sent: Sent) -> None:
    reporter, registry = make(limit_per_minute=3)
    for number in range(10):
        reporter.message(f"{number}")
    assert reporter.flush(5)
    assert len(sent) == 3
    assert registry.get_sample_value("agent_reports_lost_total", {"reason": "limit"}) == 7
    assert registry.get_sample_value("agent_reports_sent_total") == 3


def test_without_a_dsn_nothing_is_sent(sent: Sent) -> None:
    reporter, _ = make(dsn=None)
    reporter.message("to nobody")
    assert reporter.flush(1)
    assert sent == []


def test_nobody_listening_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """With the real sender: port 9 is discard's, and closed."""
    reporter, registry = make(timeout_seconds=2)
    with caplog.at_level("INFO", "lookout.kit.reports"):
        reporter.message("one")
        reporter.message("two")
        assert reporter.flush(30)
    assert registry.get_sample_value("agent_reports_lost_total", {"reason": "unreachable"}) == 2
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "reports do not arrive, the agent goes on"
    ]
    assert DSN not in caplog.text


def test_a_wrong_dsn_is_said_without_showing_it(caplog: pytest.LogCaptureFixture) -> None:
    reporter, _ = make(dsn="canary-that-is-no-dsn")
    with caplog.at_level("INFO", "lookout.kit.reports"):
        reporter.message("one")
        assert reporter.flush(30)
    assert "the DSN is not one that sentry-sdk takes" in caplog.text
    assert "canary" not in caplog.text


def test_flush_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, _ = make()
    monkeypatch.setattr(reports.Reports, "_send", lambda *_: time.sleep(3))
    reporter.message("slow")
    started = time.monotonic()
    assert not reporter.flush(0.1)
    assert time.monotonic() - started < 1
