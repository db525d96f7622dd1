"""The host's own values, by psutil. Each function is one source, and may raise what it likes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from lookout.sensor.values import Value

# Drivers of NVMe disks report 65,261 °C for "no limit".
MOST_CELSIUS = 1000


def sources(disks: Iterable[Path]) -> dict[str, Callable[[], Iterable[Value]]]:
    """All of them by name."""
    # What it says first is about the time since the boot.
    psutil.cpu_percent(None)
    return {
        "temperatures": temperatures,
        "fans": fans,
        "battery": battery,
        "load": load,
        "disks": lambda: filesystems(disks),
        "disk_traffic": disk_traffic,
        "network": network,
    }


def named(found: Iterable[Any], kind: str) -> Iterator[tuple[str, Any]]:
    """Each reading with a name of its own: psutil puts chips of one name together."""
    seen: Counter[str] = Counter()
    for number, one in enumerate(found, 1):
        name = one.label or f"{kind}{number}"
        seen[name] += 1
        yield (f"{name} {seen[name]}" if seen[name] > 1 else name), one


def temperatures() -> Iterator[Value]:
    """Of all chips that the kernel knows, with the limits that they come with."""
    for chip, found in psutil.sensors_temperatures().items():
        for name, one in named(found, "temp"):
            yield Value("sensor_temperature_celsius", (chip, name), one.current)
            for kind, limit in (("high", one.high), ("critical", one.critical)):
                if limit is not None and 0 < limit < MOST_CELSIUS:
                    yield Value("sensor_temperature_limit_celsius", (chip, name, kind), limit)


def fans() -> Iterator[Value]:
    """Of all fans that the kernel knows."""
    for chip, found in psutil.sensors_fans().items():
        for name, one in named(found, "fan"):
            yield Value("sensor_fan_speed_rpm", (chip, name), one.current)


def battery() -> Iterator[Value]:
    """Nothing where there is none."""
    look: Callable[[], Any] = psutil.sensors_battery
    found = look()
    if found is None:
        return
    yield Value("sensor_battery_charge_ratio", (), found.percent / 100)
    if found.power_plugged is not None:
        yield Value("sensor_battery_plugged", (), float(found.power_plugged))
    # Below zero: not known, or for ever
    if found.secsleft >= 0:
        yield Value("sensor_battery_left_seconds", (), float(found.secsleft))


def load() -> Iterator[Value]:
    """Processors and memory."""
    for minutes, average in zip((1, 5, 15), os.getloadavg(), strict=True):
        yield Value(f"sensor_load{minutes}", (), average)
    yield Value("sensor_cpu_busy_ratio", (), psutil.cpu_percent(None) / 100)
    memory = psutil.virtual_memory()
    yield Value("sensor_memory_size_bytes", (), memory.total)
    yield Value("sensor_memory_available_bytes", (), memory.available)
    yield Value("sensor_boot_timestamp_seconds", (), psutil.boot_time())


def filesystems(paths: Iterable[Path]) -> Iterator[Value]:
    """How full they are."""
    for path in paths:
        found = psutil.disk_usage(str(path))
        yield Value("sensor_disk_size_bytes", (str(path),), found.total)
        yield Value("sensor_disk_free_bytes", (str(path),), found.free)


def disk_traffic() -> Iterator[Value]:
    """Of whole disks: an SD card wears out by what is written."""
    # Without `nowrap` psutil remembers no disk for ever.
    found = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    for device, one in sorted(found.items()):
        if device.startswith(("loop", "ram")) or not Path("/sys/block", device).exists():
            continue
        yield Value("sensor_disk_read_bytes", (device,), one.read_bytes)
        yield Value("sensor_disk_written_bytes", (device,), one.write_bytes)


def network() -> Iterator[Value]:
    """Of every interface but loopback, and those that come and go with containers."""
    states = psutil.net_if_stats()
    for interface, one in sorted(psutil.net_io_counters(pernic=True, nowrap=False).items()):
        if interface == "lo" or interface.startswith("veth"):
            continue
        yield Value("sensor_network_received_bytes", (interface,), one.bytes_recv)
        yield Value("sensor_network_sent_bytes", (interface,), one.bytes_sent)
        yield Value("sensor_network_errors", (interface, "in"), one.errin + one.dropin)
        yield Value("sensor_network_errors", (interface, "out"), one.errout + one.dropout)
        if interface in states:
            yield Value("sensor_network_up", (interface,), float(states[interface].isup))
