"""The answers of a Prometheus, read a series at a time, so that a huge one takes little memory."""

from __future__ import annotations

import codecs
import json
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lookout.forecaster.identity import Labels

CHUNK_BYTES = 65_536
# One series has 11,000 points at most, of some 40 characters.
MOST_SERIES_CHARACTERS = 4_000_000
MOST_OTHER_CHARACTERS = 262_144
MOST_WARNINGS = 5
RESULT = re.compile(r'"result"\s*:\s*\[')
GAP = re.compile(r"[\s,]*")


class AnswerError(Exception):
    """Why an answer is of no use; says whose fault it looks like."""


@dataclass(frozen=True)
class Samples:
    """One series as it was returned: times (Unix seconds) and values, of one length."""

    labels: Labels
    times: array[float]
    values: array[float]


class Answer:
    """Iterate over it once; `warnings` are known when it has ended.

    `read(n)` returns up to n bytes, none at the end. Raises AnswerError, also in the midst of it.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.warnings: tuple[str, ...] = ()
        self._read = read
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text, self._at, self._ended = "", 0, False

    def __iter__(self) -> Iterator[Samples]:
        head = self._head()
        while (one := self._next()) is not None:
            yield samples(one)
        while self._fill():
            if len(self._text) > MOST_OTHER_CHARACTERS:
                raise AnswerError("its end does not come")
        self.warnings = judged(f'{head}"result": []{self._text[self._at :]}')

    def _fill(self) -> bool:
        """More of the text, without what was read; False at its end."""
        if self._ended:
            return False
        data = self._read(CHUNK_BYTES)
        self._ended = not data
        try:
            more = self._decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise AnswerError(f"is no UTF-8 text: {error.reason}") from error
        self._text, self._at = self._text[self._at :] + more, 0
        return not self._ended

    def _head(self) -> str:
        """What stands before the first series."""
        while not (found := RESULT.search(self._text)):
            if len(self._text) > MOST_OTHER_CHARACTERS:
                raise AnswerError("holds no series, and is long: is this a Prometheus?")
            if not self._fill():
                judged(self._text)
                raise AnswerError("holds no list of series")
        self._at = found.end()
        return self._text[: found.start()]

    def _next(self) -> Any:
        """The next element of the list; None after the last."""
        tried = 0
        while True:
            gap = GAP.match(self._text, self._at)
            start = gap.end() if gap else self._at
            left = len(self._text) - start
            if left and self._text[start] == "]":
                self._at = start + 1
                return None
            if left > tried:
                try:
                    one, self._at = json.JSONDecoder().raw_decode(self._text, start)
                except (ValueError, RecursionError):
                    # Not whole yet; tried again when there is twice as much of it
                    tried = 2 * left
                else:
                    return one
            if left > MOST_SERIES_CHARACTERS:
                raise AnswerError("holds a series that is longer than any can be")
            if not self._fill():
                if tried and left > tried // 2:
                    tried = 0
                    continue
                raise AnswerError("ends in the midst of it: the connection was cut")


def samples(one: Any) -> Samples:
    """What an element of the list says."""
    if not isinstance(one, dict):
        raise AnswerError(
            "holds a number or a text where series were asked for: vector() makes one"
        )
    labels, points = one.get("metric"), one.get("values")
    if points is None:
        points = [one["value"]] if "value" in one else []
    if not isinstance(labels, dict) or not isinstance(points, list):
        raise AnswerError("holds something that is no series")
    if not all(map(is_text, labels.values())):
        raise AnswerError("holds a label that is no text")
    try:
        times = array("d", [float(at) for at, _ in points])
        values = array("d", [float(value) for _, value in points])
    except (TypeError, ValueError, OverflowError):
        raise AnswerError("holds a point that is no time and value") from None
    return Samples(labels, times, values)


def is_text(value: Any) -> bool:
    """Whether it can be written again: JSON can name half of a character, which UTF-8 has not."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def judged(text: str) -> tuple[str, ...]:
    """The warnings in all of an answer but its series. Raises AnswerError where it failed."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise AnswerError(f"is no JSON: {text[:60]!r}") from None
    if not isinstance(said, dict) or said.get("status") != "success":
        error = said.get("error", "") if isinstance(said, dict) else ""
        raise AnswerError(f"says that it failed: {str(error)[:300]}")
    if said.get("isPartial"):
        raise AnswerError("is a part of it: a storage node did not answer")
    warnings = said.get("warnings") or []
    if not isinstance(warnings, list):
        return ()
    return tuple(str(warning)[:300] for warning in warnings[:MOST_WARNINGS])
