"""Values that other programs drop as files, each `<source>.txt` in one folder.

A line is `name value` or `name value unit`: a name in small letters, a decimal number, a unit
without blanks. Empty lines, and those that begin with #, are left alone. The last line ends with a
newline, so that a torn file is known as one. A file that breaks a rule is refused as a whole: what
one program wrote in one go is right or wrong together. Names that begin with a point are passed
over, so that a program can write one and rename it.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from lookout.sensor.options import Files
from lookout.sensor.values import Value

log = logging.getLogger("lookout.sensor")

MOST_BYTES = 16_384
# Entries of the folder that are looked at, however many there are
MOST_ENTRIES = 1000
# A file may be so far ahead of the clock.
FUTURE_SECONDS = 60
REASONS = ("name", "no_file", "unreadable", "size", "content", "old", "future", "too_many")

_FILE = re.compile(r"([a-z][a-z0-9_-]{0,39})\.txt")
_LINE = re.compile(
    r"([a-z][a-z0-9_]{0,39}) +([-+]?[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][-+]?[0-9]{1,3})?)"
    r"(?: +([^\s\x00-\x1f\x7f\"\\]{1,16}))?"
)


class Refused(Exception):  # noqa: N818
    """A file that is not served: one of REASONS, and words for a person."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


def parse(source: str, text: bytes, most_values: int) -> list[Value]:
    """The values of a file; Refused where a line is none."""
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise Refused("content", f"byte {error.start} is not UTF-8") from error
    if lines.pop() != "":
        raise Refused("content", "it does not end with a newline: it is torn")
    found: dict[str, Value] = {}
    for number, line in enumerate(lines, 1):
        words = line.strip(" \t\r")
        if not words or words.startswith("#"):
            continue
        made = _LINE.fullmatch(words)
        if not made or not math.isfinite(float(made[2])):
            raise Refused("content", f"line {number} is not `name value unit`: {words[:60]!r}")
        if made[1] in found:
            raise Refused("content", f"line {number}: {made[1]} stands twice")
        if len(found) >= most_values:
            raise Refused("too_many", f"it has more than {most_values} values")
        found[made[1]] = Value("sensor_value", (source, made[1], made[3] or ""), float(made[2]))
    return [*found.values()]


class Dropped:
    """The folder. Says once what is wrong with a file, and once that it is well again."""

    def __init__(self, options: Files, registry: CollectorRegistry) -> None:
        self._options = options
        self._told: dict[str, str] = {}
        self._refused = Gauge(
            "sensor_files_refused",
            "Dropped files that are not served at the moment.",
            ["reason"],
            registry=registry,
        )
        for reason in REASONS:
            self._refused.labels(reason)

    def read(self, now: float) -> list[Value]:
        """All values of all files that can be served. Raises OSError without the folder."""
        taken: list[Value] = []
        wrong: dict[str, Refused] = {}
        names, more = self._names()
        for name in names:
            try:
                taken += self._one(name, now)
            except Refused as error:
                wrong[name] = error
        counts = dict.fromkeys(REASONS, 0)
        for refused in wrong.values():
            counts[refused.reason] += 1
        counts["too_many"] += more
        for reason, count in counts.items():
            self._refused.labels(reason).set(count)
        self._tell(wrong, more)
        return taken

    def _names(self) -> tuple[list[str], int]:
        """The files that are looked at, and how many more there are (up to a bound)."""
        with os.scandir(self._options.directory) as entries:
            names = [
                os.fsencode(entry.name).decode("utf-8", "replace")
                for entry in itertools.islice(entries, MOST_ENTRIES)
                if not entry.name.startswith(".")
            ]
        kept = heapq.nsmallest(self._options.most_files, names)
        return kept, len(names) - len(kept)

    def _one(self, name: str, now: float) -> Iterator[Value]:
        made = _FILE.fullmatch(name)
        if not made:
            raise Refused("name", "it is not called `<source>.txt`, in small letters")
        text, written = _content(self._options.directory / name)
        age = now - written
        if age > self._options.max_age_seconds:
            raise Refused("old", f"it was written {age:.0f} s ago")
        if age < -FUTURE_SECONDS:
            raise Refused("future", f"it is from {-age:.0f} s in the future")
        values = parse(made[1], text, self._options.most_values_per_file)
        return iter([*values, Value("sensor_file_age_seconds", (made[1],), max(age, 0.0))])

    def _tell(self, wrong: dict[str, Refused], more: int) -> None:
        said = {name: refused.reason for name, refused in wrong.items()}
        if more:
            said[""] = "too_many"
        for name, reason in said.items():
            if self._told.get(name) == reason:
                continue
            if name:
                log.warning("the file %s is not served: %s", name[:60], wrong[name])
            else:
                log.warning("%d files are too many, the others are served", more)
        for name in self._told.keys() - said.keys():
            log.info("the file %s is served again, or gone", name[:60] or "that was too many")
        self._told = said


def _content(path: Path) -> tuple[bytes, float]:
    """A file's bytes, and when it was written. Neither a link nor a pipe is followed."""
    way = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, way)
    except OSError as error:
        reason = "no_file" if path.is_symlink() else "unreadable"
        raise Refused(reason, f"it cannot be opened: {error.strerror}") from error
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise Refused("no_file", "it is no plain file")
        text = os.read(file, MOST_BYTES + 1)
    except OSError as error:
        raise Refused("unreadable", f"it cannot be read: {error.strerror}") from error
    finally:
        os.close(file)
    if len(text) > MOST_BYTES:
        raise Refused("size", f"it is larger than {MOST_BYTES} bytes")
    return text, about.st_mtime
