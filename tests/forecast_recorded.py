"""Series of a machine at work, for the forecaster's benchmark: recorded.csv.

    python tests/forecast_recorded.py MINUTES    records this machine

What is stored was recorded while the machine built demos and ran scenarios. It is real, and short:
of the days that models are for it has none. Seasons of two minutes mean nothing to a machine. So
these series show how models do on bursts, steps and idle times of a real kernel, and nothing of a
day.
"""

from __future__ import annotations

import csv
import functools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from tests.forecast_series import Floats, Generated  # noqa: E402

FILE = Path(__file__).with_name("recorded.csv")
STEP_SECONDS, SEASON_SECONDS = 5, 120
SLOTS = SEASON_SECONDS // STEP_SECONDS
HISTORY_SEASONS, EVERY_STEPS = 8, 12
SECTOR_BYTES, TICK_SECONDS = 512, 0.01
# What of a first and a second reading; those that grow are told a second
GROW = (
    "cpu busy, %",
    "context switches",
    "interrupts",
    "processes made",
    "written kB",
    "received kB",
)


def columns() -> dict[str, Floats]:
    """What was recorded, by its name; NaN where nothing was."""
    with FILE.open(encoding="utf-8") as file:
        rows = list(csv.reader(line for line in file if not line.startswith("#")))
    values = np.array([[float(value or "nan") for value in row] for row in rows[1:]])
    return {name: values[:, index] for index, name in enumerate(rows[0])}


@functools.cache
def windows() -> list[Generated]:
    """Histories of eight seasons, and the season that came."""
    size = HISTORY_SEASONS * SLOTS
    return [
        Generated(
            STEP_SECONDS, values[first : first + size], values[first + size : first + size + SLOTS],
            np.empty(0), (), season_seconds=SEASON_SECONDS,
        )
        for values in columns().values()
        for first in range(0, len(values) - size - SLOTS + 1, EVERY_STEPS)
        if np.isfinite(values[first : first + size + SLOTS]).all()
        and np.ptp(values[first : first + size]) > 0
    ]  # fmt: skip


def recorded(seed: int) -> Generated:
    """One window."""
    return windows()[seed]


def reading() -> dict[str, float]:
    """What the kernel says now."""
    proc = Path("/proc")
    stat = dict(line.split(maxsplit=1) for line in (proc / "stat").read_text().splitlines())
    cpu = [int(ticks) for ticks in stat["cpu"].split()]
    memory = dict(line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    kilobytes = {name: int(value.split()[0]) for name, value in memory.items()}
    disks = [line.split() for line in (proc / "diskstats").read_text().splitlines()]
    links = [line.split() for line in (proc / "net/dev").read_text().splitlines()[2:]]
    return {
        "cpu busy, %": 100 * TICK_SECONDS * (sum(cpu[:8]) - cpu[3] - cpu[4]),
        "context switches": int(stat["ctxt"]),
        "interrupts": int(stat["intr"].split()[0]),
        "processes made": int(stat["processes"]),
        "written kB": sum(int(disk[9]) for disk in disks) * SECTOR_BYTES / 1000,
        "received kB": sum(int(link[1]) for link in links if link[0] != "lo:") / 1000,
        "load": float((proc / "loadavg").read_text().split()[0]),
        "processes that run": int(stat["procs_running"]),
        "memory MB": (kilobytes["MemTotal"] - kilobytes["MemAvailable"]) / 1024,
    }


def readings(minutes: float) -> Iterator[dict[str, float]]:
    """A row every step."""
    before, at = reading(), time.time()
    for _ in range(int(60 * minutes / STEP_SECONDS)):
        time.sleep(max(0.0, at + STEP_SECONDS - time.time()))
        now, then = reading(), time.time()
        yield {
            name: (value - before[name]) / (then - at) if name in GROW else value
            for name, value in now.items()
        }
        before, at = now, then


def record(minutes: float) -> None:
    """Write each row as it comes."""
    with FILE.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# Every {STEP_SECONDS} s, of a machine with {os.cpu_count()} processors\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(reading())
        for row in readings(minutes):
            writer.writerow(f"{value:.4g}" for value in row.values())
            file.flush()


if __name__ == "__main__":
    record(float(sys.argv[1]))
