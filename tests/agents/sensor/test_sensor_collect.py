"""What is collected: bounds, sources that fail, and drivers that say odd things."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lookout.sensor import host
from lookout.sensor.collect import Collection
from lookout.sensor.values import FAMILIES, MOST_VALUES, Value, bounded


def shown(*values: Value) -> list[tuple[str, tuple[str, ...], float]]:
    return [(one.family, one.labels, one.value) for one in values]


def test_this_host_says_something_of_everything_that_every_host_has() -> None:
    found = [
        one
        for source in host.sources([Path("/"), Path("/dev")]).values()
        for one in bounded(source())[0]
    ]
    families = {one.family for one in found}
    assert {"sensor_load1", "sensor_cpu_busy_ratio", "sensor_memory_available_bytes"} <= families
    assert {one.labels for one in found if one.family == "sensor_disk_free_bytes"} == {
        ("/",),
        ("/dev",),
    }
    assert all(len(one.labels) == len(FAMILIES[one.family].labels) for one in found)
    assert families <= set(FAMILIES)


def test_chips_of_one_name_and_limits_that_mean_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def reading(label: str, current: float, high: Any = None, critical: Any = None) -> Any:
        return SimpleNamespace(label=label, current=current, high=high, critical=critical)

    found = {"nvme": [reading("", 40, 65261.85), reading("Composite", 41, 80.0, 0.0)] * 2}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: found)
    assert shown(*host.temperatures()) == [
        ("sensor_temperature_celsius", ("nvme", "temp1"), 40),
        ("sensor_temperature_celsius", ("nvme", "Composite"), 41),
        ("sensor_temperature_limit_celsius", ("nvme", "Composite", "high"), 80),
        ("sensor_temperature_celsius", ("nvme", "temp3"), 40),
        ("sensor_temperature_celsius", ("nvme", "Composite 2"), 41),
        ("sensor_temperature_limit_celsius", ("nvme", "Composite 2", "high"), 80),
    ]
    fan = SimpleNamespace(label="cpu", current=1200)
    monkeypatch.setattr(psutil, "sensors_fans", lambda: {"hat": [fan]})
    assert shown(*host.fans()) == [("sensor_fan_speed_rpm", ("hat", "cpu"), 1200)]


@pytest.mark.parametrize(
    ("plugged", "left", "families"),
    [
        (False, 1800, {"charge_ratio", "plugged", "left_seconds"}),
        (True, psutil.POWER_TIME_UNLIMITED, {"charge_ratio", "plugged"}),
        (None, psutil.POWER_TIME_UNKNOWN, {"charge_ratio"}),
    ],
)
def test_a_battery(
    monkeypatch: pytest.MonkeyPatch, plugged: bool | None, left: int, families: set[str]
) -> None:
    found = SimpleNamespace(percent=42.0, power_plugged=plugged, secsleft=left)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: found)
    values = [*host.battery()]
    assert {one.family.removeprefix("sensor_battery_") for one in values} == families
    assert values[0].value == 0.42


def test_more_than_the_bound_is_left_out_and_no_series_stands_twice() -> None:
    many = [Value("sensor_network_up", (f"v{n}",), 1) for n in range(MOST_VALUES + 5)]
    kept, left_out = bounded(many)
    assert (len(kept), left_out) == (MOST_VALUES, 5)
    twice = [Value("sensor_load1", (), 1), Value("sensor_load1", (), 2)]
    assert bounded(twice) == (twice[:1], 1)
    odd = [
        Value("sensor_network_up", ("\udcff" + "x" * 99,), 1),
        Value("sensor_load1", (), math.nan),
        Value("sensor_load5", (), math.inf),
    ]
    kept, left_out = bounded(odd)
    assert [one.labels for one in kept] == [("?" + "x" * 63,)]
    assert left_out == 0


def test_a_source_that_fails_is_told_once_and_holds_up_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    registry = CollectorRegistry()
    broken = True

    def bus() -> Iterator[Value]:
        yield Value("sensor_fan_speed_rpm", ("hat", "fan1"), 1)
        if broken:
            raise OSError("no answer from the bus")

    sources = {"fans": bus, "load": lambda: [Value("sensor_load1", (), 0.5)]}
    collection = Collection(sources, registry)
    for _ in range(3):
        assert shown(*collection.run()) == [("sensor_load1", (), 0.5)]
    text = generate_latest(registry).decode()
    assert 'sensor_source_failing{source="fans"} 1.0' in text
    assert 'sensor_source_failing{source="load"} 0.0' in text
    assert "sensor_fan_speed_rpm{" not in text
    broken = False
    collection.run()
    text = generate_latest(registry).decode()
    assert 'sensor_fan_speed_rpm{chip="hat",sensor="fan1"} 1.0' in text
    assert 'sensor_source_failing{source="fans"} 0.0' in text
    assert "sensor_collections_total 4.0" in text
    assert [record.message for record in caplog.records] == [
        "the source fans fails: OSError: no answer from the bus",
        "the source fans works again",
    ]


def test_a_value_that_is_gone_is_not_served_any_more() -> None:
    registry = CollectorRegistry()
    values = [Value("sensor_network_received_bytes", ("eth0",), 5)]
    collection = Collection({"network": lambda: values}, registry)
    collection.run()
    assert b'sensor_network_received_bytes_total{interface="eth0"} 5.0' in generate_latest(registry)
    values.clear()
    collection.run()
    assert b"sensor_network_received_bytes_total{" not in generate_latest(registry)
