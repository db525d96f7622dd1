"""The server: what it answers, how fast, to how many, and that nobody can hold it up."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from lookout.kit.program import ProgramError
from lookout.sensor import server as module
from lookout.sensor.answers import Shown
from lookout.sensor.server import MOST_CONNECTIONS, Server

METRICS = b"# HELP x y\n" + b"".join(b"some_series_%d 1.0\n" % number for number in range(500))


class Stage:
    """A server on a free port of loopback."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.server = Server("127.0.0.1", 0, None, self.registry)
        self.server.shown = Shown(METRICS, lambda: "<html>")
        self.server.start()
        self.clients: list[http.client.HTTPConnection] = []

    def client(self) -> http.client.HTTPConnection:
        self.clients.append(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5))
        return self.clients[-1]

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.server.stop()

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=5)

    def value(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.stop()


def rest(connection: socket.socket) -> bytes:
    """All until the other side ends it."""
    text = b""
    try:
        while more := connection.recv(65536):
            text += more
    except ConnectionError:
        pass
    return text


def test_metrics_page_and_nothing_else(stage: Stage) -> None:
    client = stage.client()
    for _ in range(3):
        client.request("GET", "/metrics?x=1")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, METRICS)
    client.request("GET", "/metrics", headers={"Accept-Encoding": "deflate, gzip;q=1"})
    answer = client.getresponse()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.read()) == METRICS
    client.request("GET", "/metrics", headers={"Accept-Encoding": "gzip;q=0"})
    assert client.getresponse().read() == METRICS
    client.request("HEAD", "/metrics")
    answer = client.getresponse()
    assert (answer.headers["Content-Length"], answer.read()) == (str(len(METRICS)), b"")
    client.request("GET", "/")
    answer = client.getresponse()
    assert answer.read() == b"<html>"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert stage.value("sensor_scrape_duration_seconds_count") == 6
    for method, path, status in (("GET", "/x", 404), ("POST", "/metrics", 405)):
        client = stage.client()
        client.request(method, path, body=b"x" if method == "POST" else None)
        with client.getresponse() as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/9\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000, b"431"),
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n", b"200"),
    ],
)
def test_after_these_the_connection_ends(stage: Stage, sent: bytes, status: bytes) -> None:
    with stage.raw() as connection:
        connection.sendall(sent)
        assert rest(connection).startswith(b"HTTP/1.1 " + status)


def test_requests_one_after_the_other_in_one_piece_or_byte_by_byte(stage: Stage) -> None:
    with stage.raw() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 5)
        for byte in b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n":
            connection.sendall(bytes([byte]))
        text = rest(connection)
    assert text.count(b"HTTP/1.1 200 OK") == 6
    assert text.endswith(b"<html>")


def test_more_connections_than_the_bound_are_refused_and_places_come_back(stage: Stage) -> None:
    held = [stage.raw() for _ in range(MOST_CONNECTIONS)]
    until = time.monotonic() + 5
    while stage.value("sensor_connections") < MOST_CONNECTIONS and time.monotonic() < until:
        time.sleep(0.01)
    with stage.raw() as one_more:
        assert rest(one_more) == b""
    assert stage.value("sensor_connections_refused_total") == 1
    for connection in held:
        connection.close()
    while stage.value("sensor_connections") and time.monotonic() < until:
        time.sleep(0.01)
    assert stage.value("sensor_connections") == 0
    client = stage.client()
    client.request("GET", "/metrics")
    assert client.getresponse().read() == METRICS


def test_slow_clients_hold_up_nobody_and_lose_their_place(
    monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    monkeypatch.setattr(module, "CLIENT_SECONDS", 1.0)
    monkeypatch.setattr(module, "IDLE_SECONDS", 2.0)
    stage.server.shown = Shown(METRICS * 300, lambda: "")
    slow = [stage.raw() for _ in range(40)]
    for number, connection in enumerate(slow):
        if number % 2:
            # Asks for megabytes, and takes none of them
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 50)
        else:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")
    client = stage.client()
    began = time.monotonic()
    client.request("GET", "/")
    assert client.getresponse().read() == b""
    assert time.monotonic() - began < 0.5
    for _ in range(8):
        # A byte now and then does not help.
        for connection in slow[::2]:
            try:
                connection.send(b"x")
            except ConnectionError:
                continue
        time.sleep(0.5)
    assert stage.value("sensor_connections") == 0
    for connection in slow:
        connection.close()


def test_the_program_learns_that_the_thread_is_gone(stage: Stage) -> None:
    stage.server.ask()
    stage.server.stop()
    with pytest.raises(ProgramError, match="is gone"):
        stage.server.ask()


def scrape(stage: Stage, times: int, took: list[float]) -> None:
    client = stage.client()
    for _ in range(times):
        began = time.perf_counter()
        client.request("GET", "/metrics")
        assert len(client.getresponse().read()) == len(METRICS)
        took.append(time.perf_counter() - began)
    client.close()


def test_fifty_clients_are_all_answered(stage: Stage) -> None:
    took: list[float] = []
    threads = [threading.Thread(target=scrape, args=(stage, 20, took)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(took) == 1000
    assert stage.value("sensor_connections_refused_total") == 0
