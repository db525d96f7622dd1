"""When a series will reach a bound, such as a disk its size: robustly, with a band.

Two trends are looked at: that of the last two weeks, and that of the last hours where it moved the
series further than noise does (a log that fills a disk in a night). Slopes are medians of all
pairwise slopes, their band from the ranks of these (Theil 1950, Sen 1968).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt

import numpy as np

from lookout.forecaster.series import Floats, Indices

# Two weeks of history tell nothing of what comes after two more.
SEASONS = 14
# Normal quantile of the band of slopes: 90 %.
QUANTILE = 1.645
# So many means of the last hours are enough for their slope.
POINTS = 24


@dataclass(frozen=True)
class Crossing:
    """Seconds from the end of the series until a bound; inf: not within two weeks (SEASONS)."""

    earliest: float
    likely: float
    latest: float


@dataclass(frozen=True)
class Run:
    """How a series may go on for n slots: a path (n,), the band around it (2, n), and its trend.

    `rises` (3, n) is what the trend adds to the path: at least, likely, at most.
    """

    path: Floats
    band: Floats
    rises: Floats


@lru_cache(maxsize=16)
def pairs(count: int) -> tuple[Indices, Indices]:
    """All pairs of points, the earlier and the later."""
    one, two = np.triu_indices(count, 1)
    return one, two


def slopes(levels: Floats) -> Floats:
    """Lower edge, median and upper edge of the pairwise slopes of levels (n,), a step of them.

    Sen's band: the ranks `(N -+ z * sqrt(n (n - 1) (2 n + 5) / 18)) / 2` of N slopes.
    """
    count = len(levels)
    one, two = pairs(count)
    found = np.sort((levels[two] - levels[one]) / (two - one))
    reach = QUANTILE * sqrt(count * (count - 1) * (2 * count + 5) / 18) / 2
    middle = (len(found) - 1) / 2
    ranks = np.clip([middle - reach, middle, middle + reach], 0, len(found) - 1)
    return np.asarray(np.interp(ranks, np.arange(len(found)), found))


def growth(band: Floats) -> Floats:
    """How a band (2, m) goes on for SEASONS seasons, (2, SEASONS * m).

    By the power of time at which it grew from a quarter of the season to its end: 0 for noise
    around a level, 1/2 for a random walk, and no more than that.
    """
    slots = band.shape[1]
    widths = band[1] - band[0]
    quarter, whole = float(widths[slots // 4 - 1]), float(widths[-1])
    power = np.log(whole / quarter) / np.log(4) if 0 < quarter < whole else 0.0
    later = np.arange(slots + 1, SEASONS * slots + 1) / slots
    return np.concatenate([band, band[:, -1:] * later ** min(power, 0.5)], axis=1)


def cross(run: Run, bound: float, rising: bool, step_seconds: int) -> Crossing:
    """When a run crosses a bound: its edge towards it, its middle, its other edge."""
    least, likely, most = run.path + run.rises
    edges = [most + run.band[1], least + run.band[0]]
    found = []
    for path in (edges[0 if rising else 1], likely, edges[1 if rising else 0]):
        past = path >= bound if rising else path <= bound
        found.append((int(np.argmax(past)) + 1.0) * step_seconds if past.any() else inf)
    return Crossing(min(found[:2]), found[1], max(found[1:]))
