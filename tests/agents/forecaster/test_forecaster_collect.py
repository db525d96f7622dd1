"""Queries: in pieces, of so many series; a Prometheus that is slow, wrong or gone."""

from __future__ import annotations

import base64
import socket
import threading
import time
from dataclasses import replace

import pytest
from forecaster_stage import DAY, GONE, NOW, FakePrometheus, daily
from hypothesis import given
from hypothesis import strategies as st

from lookout.forecaster.collect import MOST_POINTS_AT_ONCE, bounds, collect, pieces
from lookout.forecaster.options import SeriesOptions, Source
from lookout.forecaster.prometheus import Prometheus, SourceError

END = NOW // 300 * 300
WANTED = SeriesOptions(query="load")


def client(fake: FakePrometheus) -> Prometheus:
    return Prometheus(Source(url=fake.url, timeout_seconds=2))


@given(
    end=st.integers(0, 10**6),
    steps=st.integers(0, 30_000),
    step=st.integers(1, 600),
    series=st.integers(0, 1000),
    first=st.integers(1, 100),
)
def test_pieces_cover_every_step_once(
    end: int, steps: int, step: int, series: int, first: int
) -> None:
    start = end - steps * step
    found = [*pieces(start, end, step, series, first)]
    assert [at for begin, until in found[::-1] for at in range(begin, until + 1, step)] == [
        *range(start, end + 1, step)
    ]
    most = max(2, min(11_000, MOST_POINTS_AT_ONCE // max(1, series)))
    assert all((until - begin) // step + 1 <= most for begin, until in found)


def test_a_long_history_comes_in_pieces(prometheus: FakePrometheus) -> None:
    prometheus.series["load"] = [({"instance": "a"}, daily)]
    wanted = replace(WANTED, step_seconds=60)
    found = collect(client(prometheus), "load", wanted, end=END, seconds=28 * DAY, most=50)
    ((identity, samples),) = found.series.items()
    assert (identity.target, len(samples.times)) == ("a", 28 * 1440)
    assert sorted(samples.times) == [END - 60.0 * back for back in range(28 * 1440)][::-1]
    assert len(prometheus.asked) > 5


def test_ten_thousand_series_are_cut_to_the_limit(
    prometheus: FakePrometheus, caplog: pytest.LogCaptureFixture
) -> None:
    many = [({"n": str(number)}, float) for number in range(2000)]
    prometheus.series["load"] = [*many]
    found = collect(client(prometheus), "load", WANTED, end=END, seconds=12_000, most=30)
    assert len(found.series) == 30
    assert found.over_limit == 1970
    assert all(len(samples.times) == 40 for samples in found.series.values())
    assert "narrow the query" in caplog.text


def test_what_ended_has_no_place_among_them(prometheus: FakePrometheus) -> None:
    def ended(at: int) -> float:
        return GONE if at > END - 12_000 else 1.0

    prometheus.series["load"] = [({"n": "old"}, ended), ({"n": "z"}, daily)]
    found = collect(client(prometheus), "load", WANTED, end=END, seconds=2 * DAY, most=1)
    ((identity, samples),) = found.series.items()
    assert (identity.target, len(samples.times), found.over_limit) == ("z", 576, 0)


def test_series_of_one_target_are_refused(prometheus: FakePrometheus) -> None:
    same = [({"instance": "a", "device": str(number)}, daily) for number in range(3)]
    prometheus.series["load"] = [*same]
    wanted = replace(WANTED, labels=("instance",))
    found = collect(client(prometheus), "load", wanted, end=END, seconds=3000, most=50)
    assert len(found.series) == 1
    assert len(found.refused) == 2
    assert "name more labels" in next(iter(found.refused.values()))


def test_metrics_of_the_same_labels_are_not_read_as_one(prometheus: FakePrometheus) -> None:
    names = [({"__name__": name, "instance": "a"}, daily) for name in ("load", "other", "third")]
    prometheus.series["load"] = [*names, ({"__name__": "load", "instance": "b"}, daily)]
    found = collect(client(prometheus), "load", WANTED, end=END, seconds=DAY, most=50)
    assert [(one.target, len(samples.times)) for one, samples in found.series.items()] == [
        ("b", 288)
    ]
    ((identity, reason),) = found.refused.items()
    assert (identity.target, "several metrics" in reason) == ("a", True)
    prometheus.series["load"].pop()
    found = collect(client(prometheus), "load", WANTED, end=END, seconds=DAY, most=50)
    assert (found.series, len(found.refused)) == ({}, 1)


def test_nothing_is_no_error(prometheus: FakePrometheus) -> None:
    found = collect(client(prometheus), "load", WANTED, end=END, seconds=28 * DAY, most=50)
    assert (found.series, len(prometheus.asked)) == ({}, 1)


def test_bounds_are_asked_for(prometheus: FakePrometheus) -> None:
    prometheus.series["size"] = [({"instance": "a"}, lambda _: 5.0), ({}, lambda _: GONE)]
    found = bounds(client(prometheus), "size", END, 1)
    assert found == [({"instance": "a"}, 5.0)]


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        ((422, b'{"status":"error","error":"query timed out"}'), "422 query timed out"),
        ((503, b"Service Unavailable\n"), "503 Service Unavailable"),
        ((307, b""), "307"),
        ((200, b"<html>welcome</html>"), "its answer is no JSON"),
        ((200, b'{"status":"success","isPartial":true,"data":{"result":[]}}'), "a part of it"),
    ],
)
def test_a_failure_is_said_with_the_address(
    prometheus: FakePrometheus, fails: tuple[int, bytes], says: str
) -> None:
    prometheus.fails = fails
    with pytest.raises(SourceError, match=says) as raised:
        collect(client(prometheus), "load", WANTED, end=END, seconds=3000, most=50)
    assert str(raised.value).startswith(prometheus.url)


def test_an_answer_that_is_cut_is_an_error(prometheus: FakePrometheus) -> None:
    prometheus.series["load"], prometheus.cut = [({}, daily)], 200
    with pytest.raises(SourceError):
        collect(client(prometheus), "load", WANTED, end=END, seconds=3000, most=50)


def test_nobody_there_is_an_error() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        source = Prometheus(Source(url=f"http://127.0.0.1:{one.getsockname()[1]}"))
        with pytest.raises(SourceError, match="refused"):
            bounds(source, "size", END, 1)


def test_one_that_answers_a_byte_at_a_time_is_left() -> None:
    """Each byte comes in time; all of them would take for ever."""
    server = socket.create_server(("127.0.0.1", 0))
    source = Prometheus(
        Source(url=f"http://127.0.0.1:{server.getsockname()[1]}", timeout_seconds=1)
    )

    def drip() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    with pytest.raises(SourceError, match="took more than 2 s"):
        bounds(source, "size", END, 1)
    assert time.monotonic() - began < 4
    thread.join(5)
    server.close()


def test_a_password_goes_to_the_address_alone(prometheus: FakePrometheus) -> None:
    source = Source(url=prometheus.url, user="me", password_credential="prometheus")
    prometheus.fails = (301, b"")
    with pytest.raises(SourceError, match="301"):
        bounds(Prometheus(source, "canary"), "size", END, 1)
    (headers,) = prometheus.headers
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'me:canary').decode()}"
