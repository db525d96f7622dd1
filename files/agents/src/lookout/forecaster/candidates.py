"""Models of a season: what they expect of a row is a weighted sum of the rows before it.

    expected = A @ rows + B @ means

with `rows` (D, m) the cleaned history and `means` (D,) the rows' means. The weights depend on
nothing but the number of rows, so that a backtest of all candidates is a few products of small
matrices. `k` is the number of rows that are known, `ahead` how many rows after them (0: the next).

- `naive`: the row before. `weekly_naive`: that of a week ago. What all others have to beat.
- `trend`: the mean of the last 14 rows, and a straight line through their means.
- `fourier`: the same through a low-pass, which is least squares on harmonics: on a whole season of
  a regular grid they are orthogonal, so projecting the mean is fitting all rows.
- `smoothing`: exponential smoothing of the season's shape and of its level, additive, once a row
  (Holt 1957, Winters 1960, without trend): follows shifts.
- `weekly`: the mean of the same day of up to four weeks, and a line through the weeks' means.
- `weekly_fourier`: the same through the low-pass.
- `weekly_level`: the mean of the same day of up to four weeks, each moved by what the level of the
  last few days, smoothed exponentially, is above the level before that day: follows shifts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lookout.forecaster.baseline import WEEK
from lookout.forecaster.series import Floats

NAIVE = ("naive", "weekly_naive")
DAILY = ("naive", "trend", "fourier", "smoothing")
WEEKLY = ("naive", "weekly_naive", *DAILY[1:], "weekly", "weekly_fourier", "weekly_level")
# All chosen on generator A with the seeds for tuning, the weeks' by reason.
WINDOW = 14
MOST_WEEKS = 4
HARMONICS = 8
SHAPE_KEEPS = 0.8
LEVEL_KEEPS = 0.5
LEVEL_ROWS = 5


def period(method: str) -> int:
    """After how many rows a method expects the same again."""
    return WEEK if method.startswith("weekly") else 1


def has_slope(method: str) -> bool:
    """Whether it follows a trend by itself."""
    return method in {"trend", "fourier", "weekly", "weekly_fourier"}


def weights(method: str, k: int, ahead: int) -> tuple[Floats, Floats, Floats]:
    """A, B and the weights of the means that give the slope a row, (k,) each."""
    shape: Floats = np.zeros(k)
    level: Floats = np.zeros(k)
    slope: Floats = np.zeros(k)
    if method in NAIVE:
        lag = period(method)
        shape[k - lag + ahead % lag] = 1
    elif method == "weekly_level":
        weeks = min((k - LEVEL_ROWS) // WEEK, MOST_WEEKS)
        for back in range(0, WEEK * weeks + 1, WEEK):
            now = LEVEL_KEEPS ** np.arange(LEVEL_ROWS)[::-1] / (-weeks if back else 1)
            level[k - back - LEVEL_ROWS : k - back] += now / (2 - 2 * LEVEL_KEEPS**LEVEL_ROWS)
            if back:
                shape[k - back + ahead % WEEK] = 1 / weeks
    elif method.startswith("weekly"):
        weeks = min(k // WEEK, MOST_WEEKS)
        lags = WEEK * np.arange(1, weeks + 1)
        shape[k - lags + ahead % WEEK] = 1 / weeks
        centred = lags - lags.mean()
        for lag, weight in zip(lags.tolist(), centred, strict=True):
            slope[k - lag : k - lag + WEEK] = -weight / (centred @ centred) / WEEK
        level = slope * (lags.mean() + WEEK * (ahead // WEEK))
    elif method == "smoothing":
        age = np.arange(k)[::-1]
        shape, level = np.power(SHAPE_KEEPS, age), np.power(LEVEL_KEEPS, age)
        shape /= shape.sum()
        level /= level.sum()
        level -= shape
    else:
        wide = min(k, WINDOW)
        shape[k - wide :] = 1 / wide
        places = np.arange(wide) - (wide - 1) / 2
        slope[k - wide :] = places / (places @ places)
        level = slope * ((wide + 1) / 2 + ahead)
    return shape, level, slope


@lru_cache(maxsize=64)
def stacked(
    methods: tuple[str, ...], rows: int, first: int, ahead: int
) -> tuple[Floats, Floats, Floats]:
    """Weights for k = first to `rows`, (methods, K + 1, rows) each."""
    out = np.zeros((3, len(methods), rows + 1 - first, rows))
    for index, method in enumerate(methods):
        for k in range(first, rows + 1):
            out[:, index, k - first, :k] = weights(method, k, ahead)
    return out[0], out[1], out[2]


def low_pass(shape: Floats) -> Floats:
    """What the first harmonics make of seasons, (..., m)."""
    basis, back = harmonics(shape.shape[-1])
    return np.asarray(shape @ basis @ back)


@lru_cache(maxsize=4)
def harmonics(slots: int) -> tuple[Floats, Floats]:
    """Orthonormal sines, cosines and a constant of a season, as columns (m, n), as rows (n, m)."""
    turns = 2 * np.pi * np.arange(slots)[:, None] / slots * np.arange(HARMONICS + 1)
    basis = np.concatenate([np.cos(turns), np.sin(turns[:, 1:])], axis=1)
    basis /= np.sqrt((basis * basis).sum(axis=0))
    return basis, np.ascontiguousarray(basis.T)


def expectations(
    methods: tuple[str, ...], rows: Floats, first: int, ahead: int
) -> tuple[Floats, Floats]:
    """Expected rows and slopes a row, for k = first to D: (methods, K + 1, m), (methods, K + 1)."""
    shape, level, slope = stacked(methods, len(rows), first, ahead)
    means = rows.mean(axis=1)
    out = shape @ rows + (level @ means)[..., None]
    for index, method in enumerate(methods):
        if method.endswith("fourier"):
            out[index] = low_pass(out[index])
    return out, slope @ means
