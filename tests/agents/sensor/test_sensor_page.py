"""The last hour: rings that do not grow, and a page that anybody can read."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from lookout.sensor.history import MOST_SERIES, SLOT_SECONDS, SLOTS, History, Ring
from lookout.sensor.page import number, render
from lookout.sensor.values import Value


def known(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def test_a_slot_is_the_mean_of_what_was_seen_in_it() -> None:
    ring = Ring()
    for slot, value in ((1000, 1.0), (1000, 2.0), (1000, 6.0), (1001, 10.0), (1003, 5.0)):
        ring.put(slot, value)
    last = ring.last(1003)
    assert len(last) == SLOTS
    assert last[-4:-2] == [3.0, 10.0]
    assert math.isnan(last[-2])
    assert last[-1] == 5.0
    assert known(last) == [3.0, 10.0, 5.0]
    assert known(ring.last(1003 + SLOTS)) == []


@pytest.mark.parametrize("slot", [1001 + SLOTS, 10**9, 3])
def test_after_a_long_pause_or_a_jump_back_nothing_old_is_left(slot: int) -> None:
    ring = Ring()
    ring.put(1000, 1.0)
    ring.put(slot, 2.0)
    assert known(ring.last(slot)) == [2.0]


def test_a_ring_holds_an_hour_whatever_comes() -> None:
    ring = Ring()
    for slot in range(1000, 1000 + 3 * SLOTS):
        ring.put(slot, float(slot))
    newest = 999 + 3 * SLOTS
    assert ring.last(newest) == [float(slot) for slot in range(newest - SLOTS + 1, newest + 1)]


def test_a_counter_is_shown_as_its_growth_a_second() -> None:
    history = History()
    for at, value in ((100.0, 50.0), (110.0, 150.0), (120.0, 7.0), (130.0, 27.0)):
        history.add([Value("sensor_disk_written_bytes", ("mmcblk0",), value)], at)
    ((_, values),) = history.shown()
    # Ten a second, then a counter that began anew, then two a second
    assert known(values) == [10.0, 2.0]


def test_series_are_bounded_and_forgotten_after_an_hour() -> None:
    history = History()
    history.add([Value("sensor_value", ("a", f"n{n}", ""), n) for n in range(99)], 0)
    assert len(history.shown()) == MOST_SERIES
    for _ in range(3):
        history.add([Value("sensor_load1", (), 1)], SLOTS * SLOT_SECONDS)
    history.add([Value("sensor_load1", (), 1)], SLOTS * SLOT_SECONDS + 1)
    assert [key for key, _ in history.shown()] == [("sensor_load1", ())]
    assert len(history._seen) == len(history._rings) == 1


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"), (0.314159, "", "0.314"), (24.06, "V", "24.1 V"), (1234, "/min", "1234 /min"),
        (99.96, "%", "100 %"), (1_536_000_000, "B", "1.54 GB"), (999, "B/s", "999 B/s"),
        (5e15, "B", "5000 TB"), (-3e-5, "m", "-3e-05 m"), (math.nan, "V", "no data"),
    ],
)  # fmt: skip
def test_numbers_are_for_people(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_the_page_shows_each_series_with_its_unit_and_escapes_all_of_it() -> None:
    history = History()
    for at in range(0, 3600, 10):
        hot = Value("sensor_temperature_celsius", ("<b>", 'a"&'), 40 + at % 60)
        # A gap of ten minutes
        arm = [] if 1200 <= at < 1800 else [Value("sensor_value", ("arm", "u", "<V"), at)]
        history.add([hot, Value("sensor_load1", (), 0.5), *arm], at)
    page = render("robot<1>", "now", history.shown())
    assert len(page) < 60_000
    assert "<script" not in page
    assert not re.search(r"https?://|url\(|@import|<b>", page)
    # Our own page
    tree = ET.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", page))  # noqa: S314
    titles = [one.text for one in tree.iter("h2")]
    assert titles == ['Temperature <b> a"&', "Load", "arm u"]
    pictures = [*tree.iter("svg")]
    assert [len([*one.iter("polyline")]) for one in pictures] == [1, 1, 2]
    for picture in pictures:
        for line in picture.iter("polyline"):
            points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
            assert all(0 <= x <= 240 and 0 <= y <= 56 for x, y in points)
            assert points == sorted(points, key=lambda point: point[0])
    numbers = [one.text for one in tree.iter("strong")]
    assert [text and text.split()[-1] for text in numbers] == ["°C", "0.5", "<V"]


def test_a_page_before_the_first_value() -> None:
    assert "Nothing was measured yet." in render("robot1", "now", [])
