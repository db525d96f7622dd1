"""Generated series for the forecaster's benchmark and tests, of two kinds.

`daily` (A) suits the models: a daily season of a few harmonics, a straight trend, autoregressive
noise, anomalies added. `weekly` (B) does not: a working week with edges, levels that jump, noise
that grows with the value, and counters that start anew, read as Prometheus' rate() reads them.
Parameters of the models were chosen on A with the seeds `TUNING`; figures are published on
`MEASURED` of A and of B. Nothing was chosen on B.

What follows the history (`future`) holds no injected anomaly, which no forecast could know of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_SECONDS = 86_400
TUNING = range(100_000, 100_200)
MEASURED = range(500)
START = 1_760_313_600  # Monday 2025-10-13, 00:00 UTC


@dataclass(frozen=True)
class Event:
    """An injected anomaly: the slots `first` to `last` (inclusive), `size` in noise deviations."""

    first: int
    last: int
    size: float


@dataclass(frozen=True)
class Generated:
    """One series: what was measured, what came then, and what the best forecast would have been.

    `history` (n,) holds NaN where nothing was measured; `future` and `oracle` are (h,). The oracle
    knows season, trend, levels and the state of the noise, but not the noise to come; of a real
    series it is empty, as nobody knows it. `shifts` are slots at which the level jumped: unusual at
    first, and then what is usual.
    """

    step_seconds: int
    history: Floats
    future: Floats
    oracle: Floats
    events: tuple[Event, ...]
    shifts: tuple[int, ...] = ()
    season_seconds: int = DAY_SECONDS

    @property
    def times(self) -> Floats:
        """Unix seconds of the history's samples, (n,)."""
        return START + self.step_seconds * np.arange(len(self.history), dtype=float)


def autoregressive(random: np.random.Generator, size: int, memory_steps: float) -> Floats:
    """AR(1) noise of deviation 1 whose correlation falls to 1/e in `memory_steps`, (size,)."""
    keep = float(np.exp(-1.0 / memory_steps))
    shocks = random.normal(size=size) * np.sqrt(1 - keep**2)
    out = np.empty(size)
    state = float(random.normal())
    for index in range(size):
        state = keep * state + shocks[index]
        out[index] = state
    return out


def lose(random: np.random.Generator, history: Floats) -> None:
    """Single samples that are missing, and in every fifth series a gap of 1 to 5 hours."""
    size = len(history)
    history[random.random(size) < random.uniform(0, 0.01)] = np.nan
    if random.random() < 0.2:
        first = int(random.integers(size // 4, size - size // 20))
        history[first : first + int(random.integers(12, 60))] = np.nan


def daily(seed: int) -> Generated:
    """A: 14 days at 5 minutes and one day that follows."""
    random = np.random.default_rng([1, seed])
    step, days = 300, 14
    a_day = DAY_SECONDS // step
    size, total = days * a_day, (days + 1) * a_day
    at = np.arange(total) / a_day
    scale = 10 ** random.uniform(-1, 4)
    season = np.zeros(total)
    for harmonic in range(1, 5):
        phase, weight = random.uniform(0, 2 * np.pi), random.uniform(0.3, 1) / harmonic
        season += weight * np.sin(2 * np.pi * harmonic * at + phase)
    season /= season.std()
    known = scale * (random.uniform(2, 10) + season + random.uniform(-1, 1) * at / days)
    memory_steps = a_day * np.exp(random.uniform(np.log(0.5 / 24), np.log(12 / 24)))
    slow = scale * random.uniform(0.1, 0.4) * autoregressive(random, total, memory_steps)
    fast = scale * random.uniform(0.02, 0.15) * random.normal(size=total)
    values = known + slow + fast
    deviation = float(np.hypot(slow.std(), fast.std()))
    events: list[Event] = []
    for first in sorted(random.integers(a_day, size - 48, size=random.poisson(4))):
        if events and first < events[-1].last + 24:
            continue
        long = random.random() < 0.5
        length = int(random.integers(6, 37) if long else random.integers(1, 4))
        height = random.uniform(5, 12)
        values[first : first + length] += random.choice([-1, 1]) * height * deviation
        events.append(Event(int(first), int(first) + length - 1, float(height)))
    keep = np.exp(-np.arange(1, a_day + 1) / memory_steps)
    history = values[:size].copy()
    lose(random, history)
    oracle = known[size:] + keep * slow[size - 1]
    return Generated(step, history, values[size:], oracle, tuple(events))


def rate(counter: Floats, step: int) -> Floats:
    """What Prometheus' rate() makes of a counter: a fall is read as a start from nought."""
    difference = np.diff(counter)
    return np.where(difference < 0, counter[1:], difference) / step


def weekly(seed: int) -> Generated:
    """B: 28 days at 10 minutes and one day that follows; a third are rates of counters."""
    random = np.random.default_rng([2, seed])
    step, days = 600, 28
    a_day = DAY_SECONDS // step
    size, total = days * a_day, (days + 1) * a_day
    at = np.arange(total) / a_day
    hour, weekday = 24 * (at % 1), (at.astype(int) + seed) % 7  # the history ends on any day
    opens, closes = random.uniform(6, 9), random.uniform(16, 20)
    edge = random.uniform(0.2, 1.0)
    busy = 1 / (1 + np.exp(-(hour - opens) / edge)) - 1 / (1 + np.exp(-(hour - closes) / edge))
    busy -= random.uniform(0, 0.4) * np.exp(-(((hour - 12.5) / 0.7) ** 2)) * (busy > 0.5)
    weekend = random.uniform(0.1, 1.0)  # 1: a service that knows no weekend
    shape = 1 + random.uniform(0.5, 4) * busy * np.where(weekday < 5, 1.0, weekend)
    level = np.ones(total)
    shifts = random.integers(a_day, size - a_day // 2, size=random.integers(0, 4))
    for first in shifts:
        level[first:] *= np.exp(random.choice([-1, 1]) * random.uniform(0.1, 0.6))
    known = 10 ** random.uniform(-1, 5) * level * shape
    memory_steps = a_day * random.uniform(0.5, 6) / 24
    width = random.uniform(0.03, 0.2)
    slow = width * autoregressive(random, total, memory_steps)
    fast = random.uniform(0.01, 0.1) * random.standard_t(5, size=total)
    factor = np.exp(slow + fast)
    events: list[Event] = []
    for first in sorted(random.integers(a_day, size - 48, size=random.poisson(4))):
        if events and first < events[-1].last + 24:
            continue
        length = int(random.integers(1, 25))
        size_of = random.uniform(1.0, 2.5)
        factor[first : first + length] *= np.exp(random.choice([-1, 1]) * size_of)
        deviation = float(np.hypot(slow.std(), fast.std()))
        events.append(Event(int(first), int(first) + length - 1, float(size_of / deviation)))
    values = known * factor
    if random.random() < 1 / 3:
        counter = np.concatenate([[0.0], np.cumsum(values * step)])
        for first in sorted(random.integers(1, size, size=random.poisson(3))):
            counter[first + 1 :] -= counter[first] + values[first] * step * random.random()
        values = rate(counter, step)
    keep = np.exp(-np.arange(1, a_day + 1) / memory_steps)
    history = values[:size].copy()
    lose(random, history)
    # The median of what may come: logarithms are symmetric, so the state fades in the exponent.
    oracle = known[size:] * np.exp(keep * slow[size - 1])
    shifted = tuple(int(first) for first in shifts)
    return Generated(step, history, values[size:], oracle, tuple(events), shifted)
