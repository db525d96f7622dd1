"""Files that other programs drop: what is taken, and that rubbish costs nobody else anything."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from lookout.sensor.dropped import MOST_BYTES, REASONS, Dropped, Refused, parse
from lookout.sensor.options import Files

NOW = 1_800_000_000.0


class Folder:
    """The folder, and what is served of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.registry = CollectorRegistry()
        self.dropped = Dropped(Files(path, 120, 4, 5), self.registry)

    def drop(self, name: str, text: str | bytes, age: float = 1) -> Path:
        file = self.path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        os.utime(file, (NOW - age, NOW - age))
        return file

    def served(self) -> dict[tuple[str, ...], float]:
        found = self.dropped.read(NOW)
        return {one.labels: one.value for one in found if one.family == "sensor_value"}

    def refused(self) -> dict[str, float]:
        counts = {
            reason: self.registry.get_sample_value("sensor_files_refused", {"reason": reason})
            for reason in REASONS
        }
        return {reason: count for reason, count in counts.items() if count}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_values_with_and_without_a_unit_are_served(folder: Folder) -> None:
    folder.drop("arm.txt", "# of the arm\nvoltage 24.1 V\n\n  grip -3e-1\t\r\ncount 7 1/min\n")
    assert folder.served() == {
        ("arm", "voltage", "V"): 24.1,
        ("arm", "grip", ""): -0.3,
        ("arm", "count", "1/min"): 7,
    }
    ages = [one for one in folder.dropped.read(NOW) if one.family == "sensor_file_age_seconds"]
    assert [(one.labels, one.value) for one in ages] == [(("arm",), 1)]


@pytest.mark.parametrize(
    "text",
    [
        "voltage", "voltage 24", "voltage x\n", "voltage nan\n", "voltage inf\n", "voltage 1e999\n",
        "Voltage 1\n", "voltage 1 V V\n", "voltage 1 \"\n", "a 1\na 2\n", b"\xff 1\n", b"\0" * 99,
        "voltage 0x10\n", "voltage 1_0\n", "voltage \u0661\n", "voltage=1\n", '{"voltage": 1}\n',
        "<html>\n", "v" * 41 + " 1\n", "voltage 1 " + "V" * 17 + "\n",
    ],
)  # fmt: skip
def test_rubbish_is_refused_as_a_whole_and_the_others_are_served(
    folder: Folder, text: str | bytes
) -> None:
    folder.drop("bad.txt", b"fine 1\n" + (text.encode() if isinstance(text, str) else text))
    folder.drop("good.txt", "voltage 1\n")
    assert folder.served() == {("good", "voltage", ""): 1}
    assert folder.refused() == {"content": 1}


def test_each_kind_of_wrong_file_is_counted_by_its_reason(folder: Folder) -> None:
    folder.drop("a.txt", "x 1\n", age=121)
    folder.drop("b.txt", "x 1\n", age=-100)
    (folder.path / "c.txt").symlink_to("/etc/passwd")
    os.mkfifo(folder.path / "d.txt")
    folder.served()
    assert folder.refused() == {"old": 1, "future": 1, "no_file": 2}
    for name in "abcd":
        (folder.path / f"{name}.txt").unlink()
    folder.drop("a.txt", "#" * (MOST_BYTES + 1))
    folder.drop("b.txt", "".join(f"x{number} 1\n" for number in range(6)))
    folder.drop("C.TXT", "x 1\n")
    (folder.path / "d.txt").mkdir()
    folder.served()
    assert folder.refused() == {"size": 1, "too_many": 1, "name": 1, "no_file": 1}


def test_too_many_files_are_told_and_the_first_ones_served(folder: Folder) -> None:
    for number in range(9):
        folder.drop(f"s{number}.txt", "x 1\n")
    folder.drop(".s0.txt.part", "x")
    assert sorted(folder.served()) == [(f"s{number}", "x", "") for number in range(4)]
    assert folder.refused() == {"too_many": 5}


def test_a_mistake_is_told_once_and_its_end_too(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder.drop("arm.txt", "nonsense\n")
    for _ in range(3):
        folder.served()
    folder.drop("arm.txt", "x 1\n")
    for _ in range(3):
        folder.served()
    assert [record.message for record in caplog.records] == [
        "the file arm.txt is not served: line 1 is not `name value unit`: 'nonsense'",
        "the file arm.txt is served again, or gone",
    ]


def test_without_the_folder_it_raises(folder: Folder) -> None:
    folder.path.rmdir()
    with pytest.raises(FileNotFoundError):
        folder.dropped.read(NOW)


@given(st.binary(max_size=300))
def test_any_bytes_are_values_or_refused(text: bytes) -> None:
    reason, found = "", []
    try:
        found = parse("any", text, 5)
    except Refused as refused:
        reason = refused.reason
    assert reason in ("", "content", "too_many")
    assert len(found) <= 5
    assert all(len(label) <= 40 for one in found for label in one.labels)
