"""Answers of a Prometheus: whole, cut, huge, failed, and made of anything."""

from __future__ import annotations

import io
import json
import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.forecaster.answers import Answer, AnswerError, Samples

POINTS = st.lists(
    st.tuples(st.integers(0, 2**33), st.floats(allow_nan=False).map(repr)), max_size=20
)
SERIES = st.lists(st.tuples(st.dictionaries(st.text(), st.text()), POINTS), max_size=8)


def read(text: bytes, chunk: int = 65_536) -> tuple[list[Samples], Answer]:
    stream = io.BytesIO(text)
    answer = Answer(lambda size: stream.read(min(size, chunk)))
    return list(answer), answer


def whole(result: Any, **more: Any) -> bytes:
    said = {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    return json.dumps(said).encode()


@given(series=SERIES, chunk=st.integers(1, 300), spaces=st.booleans())
def test_every_series_arrives_however_it_is_cut_up(
    series: list[Any], chunk: int, spaces: bool
) -> None:
    result = [{"metric": labels, "values": points} for labels, points in series]
    said = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    text = json.dumps(said, indent=1 if spaces else None, ensure_ascii=not spaces)
    found, _ = read(text.encode("utf-8", "surrogatepass" if not spaces else "replace"), chunk)
    assert [list(one.times) for one in found] == [[at for at, _ in points] for _, points in series]
    assert [list(map(repr, one.values)) for one in found] == [
        [value for _, value in points] for _, points in series
    ]
    if not spaces:
        assert [one.labels for one in found] == [labels for labels, _ in series]


@given(cut=st.integers(0, 200))
def test_an_answer_that_is_cut_is_none(cut: int) -> None:
    text = whole([{"metric": {"a": "]]}"}, "values": [[1, "2"], [3, "4"]]}] * 3)
    cut = min(cut, len(text) - 1)
    with pytest.raises(AnswerError):
        read(text[:cut], 50)


@given(text=st.binary(max_size=300))
def test_rubbish_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(AnswerError):
        read(text)


@given(result=st.lists(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["metric", "values", "value", "x"]), inner, max_size=3),
), max_size=3))  # fmt: skip
def test_series_of_anything_are_refused_or_read(result: list[Any]) -> None:
    try:
        found, _ = read(whole(result))
    except AnswerError:
        return
    assert len(found) == len(result)


def test_what_is_no_number_is_kept_as_such() -> None:
    (one,), _ = read(whole([{"metric": {}, "values": [[1, "NaN"], [2, "+Inf"], [3, "-Inf"]]}]))
    assert math.isnan(one.values[0])
    assert list(one.values[1:]) == [math.inf, -math.inf]


def test_a_vector_is_a_series_of_one_point() -> None:
    (one,), _ = read(whole([{"metric": {"a": "b"}, "value": [1.5, "2"]}]))
    assert (list(one.times), list(one.values)) == ([1.5], [2.0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"status":"error","errorType":"execution","error":"too many samples"}', "too many"),
        (whole([], isPartial=True), "a part of it"),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}', "vector()"),
        (b"<html>" + b"x" * 400_000, "is this a Prometheus"),
        (whole([]) + b" " * 400_000, "its end does not come"),
        (whole([{"metric": {"a": "x" * 5_000_000}, "values": []}]), "longer than any"),
        (whole([{"metric": {}, "values": [[1]]}]), "no time and value"),
        (whole([{"metric": {"a": "\ud800"}, "values": []}]), "label that is no text"),
        (whole([{"metric": {"a": 1}, "values": []}]), "label that is no text"),
        (b'{"data":{"result":[', "cut"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, says: str) -> None:
    with pytest.raises(AnswerError, match=says.replace("(", r"\(").replace(")", r"\)")):
        read(text)


def test_warnings_are_told() -> None:
    _, answer = read(whole([], warnings=["remote read failed"], infos=["a rate of a gauge?"]))
    assert answer.warnings == ("remote read failed",)


def test_ten_thousand_series_take_no_more_memory_than_one() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"status":"success","data":{"resultType":"matrix","result":['
        for number in range(10_000):
            points = ",".join(f'[{at},"{number}"]' for at in range(5))
            yield f'{{"metric":{{"n":"{number}"}},"values":[{points}]}},'.encode()
        yield b'{"metric":{},"values":[]}]}}'

    source = pieces()
    answer = Answer(lambda _: next(source, b""))
    tracemalloc.start()
    try:
        count = sum(1 for _ in answer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 10_001
    assert peak < 1_000_000
