"""What is measured: the families of metrics, their values, and how the page shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# Of one source. A host with more (a thousand network interfaces) shows the first of them.
MOST_VALUES = 256
LABEL_LENGTH = 64


@dataclass(frozen=True)
class Family:
    """One metric: its help text and labels. One with a title is on the page."""

    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"
    # On the page, with the labels' values in it
    title: str = ""
    unit: str = ""
    # What the page multiplies by
    factor: float = 1.0


# A counter's name is without "_total", which the text format adds.
FAMILIES = {
    "sensor_temperature_celsius": Family(
        "Temperature.", ("chip", "sensor"), title="Temperature {0} {1}", unit="°C"
    ),
    "sensor_temperature_limit_celsius": Family(
        "Temperature at which the chip's maker sees trouble.", ("chip", "sensor", "kind")
    ),
    "sensor_fan_speed_rpm": Family(
        "Turns of a fan in a minute.", ("chip", "sensor"), title="Fan {0} {1}", unit="/min"
    ),
    "sensor_battery_charge_ratio": Family(
        "Charge of the battery, 1 is full.", title="Battery", unit="%", factor=100
    ),
    "sensor_battery_plugged": Family("Whether the battery is being charged from outside."),
    "sensor_battery_left_seconds": Family("How long the battery lasts, as the kernel expects."),
    "sensor_cpu_busy_ratio": Family(
        "Share of all processors that was busy since the last look.",
        title="Processors",
        unit="%",
        factor=100,
    ),
    "sensor_load1": Family("Load average of a minute.", title="Load"),
    "sensor_load5": Family("Load average of five minutes."),
    "sensor_load15": Family("Load average of fifteen minutes."),
    "sensor_memory_size_bytes": Family("Memory of the host."),
    "sensor_memory_available_bytes": Family(
        "Memory that programs can have without swapping.", title="Memory available", unit="B"
    ),
    "sensor_boot_timestamp_seconds": Family("When the host was booted."),
    "sensor_disk_size_bytes": Family("Size of a filesystem.", ("path",)),
    "sensor_disk_free_bytes": Family(
        "Space that programs can use.", ("path",), title="Free on {0}", unit="B"
    ),
    "sensor_disk_read_bytes": Family(
        "Bytes read from a disk.", ("device",), "counter", title="Read from {0}", unit="B/s"
    ),
    "sensor_disk_written_bytes": Family(
        "Bytes written to a disk.", ("device",), "counter", title="Written to {0}", unit="B/s"
    ),
    "sensor_network_received_bytes": Family(
        "Bytes received.", ("interface",), "counter", title="Received by {0}", unit="B/s"
    ),
    "sensor_network_sent_bytes": Family(
        "Bytes sent.", ("interface",), "counter", title="Sent by {0}", unit="B/s"
    ),
    "sensor_network_errors": Family(
        "Packets that were damaged or dropped.", ("interface", "direction"), "counter"
    ),
    "sensor_network_up": Family("Whether an interface is up.", ("interface",)),
    "sensor_value": Family(
        "What another program measured and dropped as a file.",
        ("source", "name", "unit"),
        title="{0} {1}",
        unit="{2}",
    ),
    "sensor_file_age_seconds": Family("How long ago a file was written.", ("source",)),
}


@dataclass(frozen=True)
class Value:
    """One value of a family, with its labels in the family's order."""

    family: str
    labels: tuple[str, ...]
    value: float


def label(text: str) -> str:
    """A label's value that can be served, whatever a driver calls itself."""
    return text.encode("utf-8", "replace").decode()[:LABEL_LENGTH]


def bounded(found: Iterable[Value]) -> tuple[list[Value], int]:
    """The values that are served, each series once, and how many are left out."""
    kept: dict[tuple[str, tuple[str, ...]], Value] = {}
    left_out = 0
    for one in found:
        labels = tuple(map(label, one.labels))
        if not math.isfinite(one.value):
            continue
        if len(kept) >= MOST_VALUES or (one.family, labels) in kept:
            left_out += 1
            continue
        kept[one.family, labels] = Value(one.family, labels, float(one.value))
    return [*kept.values()], left_out


class Latest(Collector):
    """The values of the last collection, as prometheus_client wants them."""

    def __init__(self) -> None:
        self.values: list[Value] = []

    def collect(self) -> Iterator[Metric]:
        """One metric for each family that has values."""
        by_family: dict[str, list[Value]] = {}
        for one in self.values:
            by_family.setdefault(one.family, []).append(one)
        for name, values in by_family.items():
            about = FAMILIES[name]
            metric = (
                CounterMetricFamily(name, about.help, labels=about.labels)
                if about.kind == "counter"
                else GaugeMetricFamily(name, about.help, labels=about.labels)
            )
            for one in values:
                metric.add_metric(one.labels, one.value)
            yield metric
