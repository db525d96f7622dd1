"""Every candidate, forecast from many moments of the past with what was known then.

Folds are rows: before each, the expectations are made anew from the rows before it, and forecasts
start at eight moments of it, each for all horizons up to a season. What is published is nested: in
each fold the method and its bands are chosen from folds whose targets had all come by then, and
measured on this one. The final choice may use all folds: its error there is not published.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lookout.forecaster.baseline import Flags
from lookout.forecaster.candidates import NAIVE, expectations, period
from lookout.forecaster.memory import block_sums, features, horizons, regress
from lookout.forecaster.series import Floats, Indices

ORIGINS = 8
BAND = 0.9
# Folds by which a first choice is made, before anything is measured.
LEARN = 2
# Targets of a fold reach into the row after it: the choice before row k knows folds up to k - 2.
LAG = 1


@dataclass(frozen=True)
class Fit:
    """All candidates as fitted after the last row, and their errors in the folds.

    `actual` (K, ORIGINS, H): NaN where it is not known. `errors` (methods, K, ORIGINS, H): actual
    less forecast.
    `coming` (methods, K + 1, m) and `slopes` (methods, K + 1): expected of each fold's row and of
    the next, and what is added a row. `near`, `far` (methods, H): the memory's weights.
    """

    methods: tuple[str, ...]
    actual: Floats
    errors: Floats
    coming: Floats
    slopes: Floats
    near: Floats
    far: Floats


@dataclass(frozen=True)
class Quality:
    """Errors in the nested folds, by the mean absolute error in units of the series.

    `scale` is that of the seasonal naive within the history: MASE is `error / scale` (Hyndman and
    Koehler 2006). `coverage` is the share of actual values inside the bands of `BAND`. Bands of
    early folds come from few errors: it is a little below what the last bands reach.
    """

    error: float
    naive_error: float
    scale: float
    coverage: float
    measured: int

    @property
    def mase(self) -> float:
        """Mean absolute scaled error."""
        return self.error / self.scale if self.scale else 0.0

    @property
    def ratio(self) -> float:
        """The error as a part of seasonal naive's on the same folds; 1 when both are nought."""
        return self.error / self.naive_error if self.naive_error else 1.0


@lru_cache(maxsize=16)
def moments(rows: int, first: int, slots: int) -> tuple[Indices, Indices, Indices, Flags]:
    """Origins within a row (O,), targets within two rows (O, H), and in all (K, O, H), inside."""
    start = np.arange(ORIGINS) * (slots // ORIGINS)
    targets = start[:, None] + horizons(slots) - 1
    within = np.arange(first, rows)[:, None, None] * slots + targets
    inside: Flags = within < rows * slots
    return start, targets, np.where(inside, within, 0), inside


def fit(methods: tuple[str, ...], raw: Floats, clean: Floats, known: Flags, first: int) -> Fit:
    """Fit and backtest on a history of rows (D, m): without gaps, cleaned, and what was known.

    `methods` begin with those of NAIVE, which take what was measured, up to their origin.
    """
    rows, slots = raw.shape
    start, targets, within, inside = moments(rows, first, slots)
    naive = [method for method in methods if method in NAIVE]
    lags = [period(method) for method in naive]
    models = methods[len(naive) :]
    coming, slopes = expectations(models, clean, first, 0)
    if max(map(period, models)) == 1:
        then = coming + slopes[..., None]
    else:
        then = expectations(models, clean, first, 1)[0]
    later = clean[first:] - coming[:, :-1]
    before = early(models, clean[:first], coming[:, 0], slopes[:, 0])
    deviations = np.concatenate([before, later], axis=1)
    sums = block_sums(deviations)
    near, far = regress(deviations, sums)
    last = np.arange(first, rows)[:, None] * slots + start - 1
    near_feature, far_feature = features(deviations, sums, last)
    paths = np.concatenate([coming[:, :-1], then[:, :-1]], axis=2)
    forecasts = paths.take(targets, axis=2)
    forecasts += near[:, first - 1 : -1, None, :] * near_feature[..., None]
    forecasts += far[:, first - 1 : -1, None, :] * far_feature[..., None]
    flat = raw.ravel()
    repeated = [flat.take(within - lag * slots) for lag in lags]
    actual = np.where(inside, np.where(known, raw, np.nan).take(within), np.nan)
    nothing = np.zeros((len(naive), near.shape[-1]))
    return Fit(
        methods,
        actual,
        actual - np.concatenate([repeated, forecasts]),
        np.concatenate([[raw[first - lag : rows + 1 - lag] for lag in lags], coming]),
        np.concatenate([np.zeros((len(naive), rows + 1 - first)), slopes]),
        np.concatenate([nothing, near[:, -1]]),
        np.concatenate([nothing, far[:, -1]]),
    )


def early(methods: tuple[str, ...], clean: Floats, coming: Floats, slopes: Floats) -> Floats:
    """Deviations of the rows before the first fold from what it expects, (methods, first, m).

    `coming` (methods, m) and `slopes` (methods,) are those of the first fold.
    """
    first = len(clean)
    repeat = max(map(period, methods))
    out = np.empty((len(methods), first, clean.shape[1]))
    for ahead in range(repeat):
        expected = expectations(methods, clean, first, ahead)[0][:, 0] if ahead else coming
        begin = (first + ahead) % repeat
        rises = slopes[:, None] * (np.arange(begin, first, repeat) - first - ahead)
        rows = slice(begin, None, repeat)
        out[:, rows] = clean[rows] - expected[:, None] - rises[..., None]
    return out


def choices(errors: Floats) -> Indices:
    """The best method as known before each fold from LEARN + LAG on, and after the last, (C,).

    By the mean absolute error over all horizons; there are more of the near ones.
    """
    count = np.isfinite(errors[0]).sum(axis=(1, 2))
    size = np.abs(errors)
    size[np.isnan(size)] = 0
    sums = size.sum(axis=(2, 3))
    losses = np.cumsum(sums, axis=1) / np.maximum(1, np.cumsum(count))
    folds = errors.shape[1]
    known = [*range(LEARN - 1, folds - LAG - 1), folds - 1]
    return np.asarray(np.argmin(losses[:, known], axis=0))


def bands(errors: Floats) -> Floats:
    """Quantiles of errors (..., F, ORIGINS, H) by horizon that enclose BAND of them, (..., 2, H).

    Each horizon borrows from its two neighbours. Not from a distribution: as they were.
    """
    *head, folds, origins, count = errors.shape
    flat = np.swapaxes(errors.reshape(-1, folds * origins, count), 1, 2)
    beside = [flat[:, :1], flat[:, :-1]], [flat[:, 1:], flat[:, -1:]]
    pool = np.concatenate([flat, *(np.concatenate(each, axis=1) for each in beside)], axis=2)
    pool = pool.reshape(-1, pool.shape[2])
    pool.sort(axis=1)  # gaps come last
    known = np.maximum(1, np.isfinite(pool).sum(axis=1))
    line, found = np.arange(len(pool)), []
    for level in ((1 - BAND) / 2, (1 + BAND) / 2):
        at = level * (known - 1)
        low = at.astype(int)
        here, there = pool[line, low], pool[line, np.minimum(low + 1, known - 1)]
        found.append(here + (at - low) * (there - here))
    both = np.stack(found, axis=1).reshape(*head, count, 2)
    return np.asarray(np.swapaxes(np.where(np.isnan(both), 0, both), -1, -2))


def measure(
    errors: Floats, relative: Floats, chosen: Indices, scale: float
) -> tuple[Quality, Floats]:
    """Quality in the folds that neither chose the method nor made the bands, and the last bands.

    `errors` in units of the series and `relative`, as parts of the noise at each target, by which
    bands are scaled; both (methods, K, ORIGINS, H). Bands (2, H) are of the last choice, from all
    folds.
    """
    ends = np.arange(LEARN, errors.shape[1] - LAG + 1)  # folds that each choice may know
    ends[-1] = errors.shape[1]
    folds = np.arange(LEARN + LAG, errors.shape[1])
    relative = relative[chosen]
    unknown = np.arange(errors.shape[1]) >= ends[:, None]
    band = bands(np.where(unknown[..., None, None], np.nan, relative))
    now = relative[np.arange(len(folds)), folds]
    within: Flags = (now >= band[:-1, 0, None]) & (now <= band[:-1, 1, None])
    known = np.isfinite(now)
    count = max(1, int(known.sum()))
    error, naive = (
        float(np.abs(each[known]).sum()) / count
        for each in (errors[chosen[:-1], folds], errors[0, folds])
    )
    return Quality(error, naive, scale, int(within.sum()) / count, count), band[-1]
