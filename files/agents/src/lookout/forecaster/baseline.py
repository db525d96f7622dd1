"""What the past alone lets expect of each slot, robustly; the ground of scores and of cleaning.

A history is a matrix of rows: one season each, so that a column is a time of day. What is expected
of a row is the median of the same slots of former rows, each less the level it was at, plus the
level of now. Levels are medians over a season, so that an anomaly shorter than half a season moves
nothing, and a shift that stays is normal after half a season (at most one and a half: the median
needs half of its window on the new level).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookout.forecaster.median import median_of
from lookout.forecaster.series import BLOCKS, Floats, Indices

Flags = NDArray[np.bool_]

WEEK = 7
# Levels are looked at anew so many times a season, from every third slot.
LEVELS = 8
THIN = 3
# From the median of absolute deviations to a standard deviation, for normal noise.
TO_DEVIATION = 1.4826
# The noise of a time of day is known from few values: it is drawn to that of the whole season.
OWN_NOISE = 0.75
SHORT = 6
# Of all that a series ever moved: where it stood still, its noise is not less than that.
SMALLEST_PART = 1e-6


@dataclass(frozen=True)
class Baseline:
    """Expectations for the rows `first` to D - 1 of a history (D, m), and the one that comes.

    `usual` (K + 1, m): medians of former rows, without level; the last is of the row to come.
    In a weekly baseline the last seven are: (K + 7, m).
    `drift` (K + 1,): what the level gains a row.
    `expected`, `away` (K, m): expectation with its level, and how far values are from it.
    `step_away` (K, m): how far they are from the mean of the last few `away`: sudden changes.
    `noise`, `step_noise` (K + 1, m): deviation of either, from former rows (row 0: from itself).
    """

    first: int
    usual: Floats
    drift: Floats
    expected: Floats
    away: Floats
    step_away: Floats
    noise: Floats
    step_noise: Floats


def filled(rows: Floats) -> Floats:
    """Gaps take the same slot of the row before, at the history's beginning of a row after it.

    A slot that no row has takes the median of all.
    """
    gaps = np.isnan(rows)
    if not gaps.any():
        return rows
    columns = np.flatnonzero(gaps.any(axis=0))
    gaps = gaps[:, columns]
    # For each slot the last row that has it, and before there is one, the first that has it
    source = np.where(gaps, 0, np.arange(len(rows))[:, None])
    np.maximum.accumulate(source, axis=0, out=source)
    source = np.maximum(source, np.argmin(gaps, axis=0))
    out = rows.copy()
    out[:, columns] = rows[source, columns]
    if gaps.all(axis=0).any():
        np.nan_to_num(out, copy=False, nan=float(np.nanmedian(rows)))
    return out


def baseline(rows: Floats, first: int, weekly: bool) -> Baseline:
    """Expectations for `rows` (D, m) without gaps, from row `first` on (a week's: at least 14)."""
    count = len(rows)
    # Rows differ from the one before by the median of slots.
    steps = np.sort(rows[1:] - rows[:-1], axis=1)[:, rows.shape[1] // 2]
    usual = usual_rows(rows, steps, first, weekly)
    seen = usual[: count - first]
    before = np.concatenate([seen[:1], seen[:-1]]) if weekly else seen
    return settle(rows, usual, before, drifts(steps, first))


def settle(rows: Floats, usual: Floats, before: Floats, drift: Floats) -> Baseline:
    """A baseline from what is `usual` (K + 1 or more, m) and was so `before` each row (K, m).

    Both without a level: it is the median of the last season's differences, to which `drift`
    (K + 1,) is added for the part of the season that is in the row before.
    """
    folds = len(before)
    first = len(rows) - folds
    here = rows[first:] - usual[:folds]
    previous = rows[first - 1 : -1] - before + drift[:-1, None]
    away = here - trailing_level(previous, here)
    expected = rows[first:] - away
    step_away = sudden(away.ravel()).reshape(away.shape)
    least = SMALLEST_PART * float(rows.max() - rows.min())
    noise, step_noise = np.maximum(noises(np.stack([away, step_away])), least)
    return Baseline(first, usual, drift, expected, away, step_away, noise, step_noise)


def better_baseline(rows: Floats, first: int) -> Baseline:
    """The baseline of a day or of a week, whichever values keep closer to.

    By medians of absolute deviations, row by row: neither anomalies nor shifts decide it. All rows
    do, those of a backtest's folds too; what it does to them is to clean them.
    """
    day, week = (baseline(rows, first, weekly) for weekly in (False, True))
    is_far = [np.sort(np.abs(each.away[:, ::THIN]), axis=1) for each in (day, week)]
    # Two days of seven may differ from the others: the mean of rows, not their median.
    middle = is_far[0].shape[1] // 2
    return week if is_far[1][:, middle].mean() < is_far[0][:, middle].mean() else day


def trailing_level(previous: Floats, here: Floats) -> Floats:
    """Medians of the season before each eighth of rows (K, m), given the rows before them."""
    slots = here.shape[1]
    ordered = np.concatenate([previous, here], axis=1).take(windows(slots), axis=1)
    ordered.sort(axis=-1)
    middle = ordered.shape[2] // 2
    level = 0.5 * (ordered[..., middle] + ordered[..., middle - 1])
    return np.asarray(np.repeat(level, slots // LEVELS, axis=1))


@lru_cache(maxsize=16)
def windows(slots: int) -> Indices:
    """Every third slot of the season before each eighth of the second of two rows, (LEVELS, m / 3).

    THIN divides them: a season has a multiple of 24 slots.
    """
    return np.arange(LEVELS)[:, None] * (slots // LEVELS) + np.arange(0, slots, THIN)


def usual_rows(rows: Floats, steps: Floats, first: int, weekly: bool) -> Floats:
    """Same-slot medians for the rows `first` to D, and for a week those to D + 6, (K + 1 [+ 6], m).

    A daily season: of up to seven rows before. A weekly one: of the same day one and two weeks
    ago and the daily median, which decides between them when one of the weeks held an anomaly.
    """
    count = len(rows)
    # Of each row, up to a constant
    levels = np.concatenate([[0.0], np.cumsum(steps)])

    def ago(flat: Floats, lag: int, more: int = 0) -> Floats:
        return flat[first - lag : count + 1 - lag + more]

    flat = rows - (median_filter(levels, WEEK - 1) if weekly else levels)[:, None]
    days = median_of([ago(flat, lag) for lag in range(1, min(WEEK, first) + 1)])
    if not weekly:
        return days
    days = np.concatenate([days, np.repeat(days[-1:], WEEK - 1, axis=0)])
    # Of a row a week ago the three after it are known too: a shift is seen where it is.
    flat = rows - median_filter(levels, WEEK // 2)[:, None]
    return median_of([ago(flat, WEEK, WEEK - 1), ago(flat, 2 * WEEK, WEEK - 1), days])


def drifts(steps: Floats, first: int) -> Floats:
    """What the level gains a row, for the rows `first` to D: medians of steps before, (K + 1,).

    Nought where it is not clearer than chance: less than two standard errors of a median.
    """
    wide = min(WEEK, first - 1)
    starts = np.arange(first - 1 - wide, len(steps) - wide + 1)
    views = steps.take(starts[:, None] + np.arange(wide))
    middle = np.sort(views, axis=1)[:, wide // 2]
    spread = np.sort(np.abs(views - middle[:, None]), axis=1)[:, wide // 2]
    clear = np.abs(middle) > 2 * 1.25 * TO_DEVIATION * spread / np.sqrt(wide)
    return np.where(clear, middle, 0.0)


def median_filter(levels: Floats, before: int) -> Floats:
    """Medians of seven, from `before` rows before each on, (D,); edges are repeated."""
    padded = np.pad(levels, (before, WEEK - 1 - before), mode="edge")
    return median_of([padded[lag : lag + len(levels)] for lag in range(WEEK)])


def sudden(away: Floats) -> Floats:
    """How far each value is from the mean of up to six before it, (n,)."""
    sums = np.zeros(len(away) + 1)
    np.cumsum(away, out=sums[1:])
    out = away.copy()
    out[1:SHORT] -= sums[1:SHORT] / np.arange(1, SHORT)
    out[SHORT:] -= (sums[SHORT:-1] - sums[: -SHORT - 1]) / SHORT
    return out


def noises(away: Floats) -> Floats:
    """Standard deviations by time of day from up to seven rows before, (2, K, m) to (2, K + 1, m).

    The first row, which has none before it, gets its own.
    """
    two, count, slots = away.shape
    each = slots // BLOCKS
    absolute = np.abs(away)
    spread = TO_DEVIATION * np.sort(absolute.reshape(two, count, BLOCKS, each))[..., each // 2]
    before, beside = means_before(count), means_beside()
    mean = before @ spread @ beside
    # A series that mostly stands still has a median of nought, and yet moves.
    least = before @ (absolute.sum(axis=-1, keepdims=True) / slots)
    mean *= mean
    whole = np.maximum(mean.sum(axis=-1, keepdims=True) / BLOCKS, least * least)
    return np.repeat(np.sqrt(OWN_NOISE * mean + (1 - OWN_NOISE) * whole), each, axis=-1)


@lru_cache(maxsize=32)
def means_before(count: int) -> Floats:
    """Weights that give means of up to seven rows before each of K + 1, (K + 1, K)."""
    out = np.zeros((count + 1, count))
    out[0, 0] = 1
    for row in range(1, count + 1):
        start = max(0, row - WEEK)
        out[row, start:row] = 1 / (row - start)
    return out


@lru_cache(maxsize=1)
def means_beside() -> Floats:
    """Weights that smooth over neighbouring blocks of a season, (BLOCKS, BLOCKS)."""
    whole = np.eye(BLOCKS)
    return (np.roll(whole, 1, axis=1) + 2 * whole + np.roll(whole, -1, axis=1)) / 4


def keep_on(start: Flags, stop: Flags) -> Flags:
    """True from each `start` until the next `stop`, (n,): a switch with two thresholds."""
    at = np.arange(1, len(start) + 1)
    started: NDArray[Any] = np.maximum.accumulate(np.where(start, at, 0))
    stopped: NDArray[Any] = np.maximum.accumulate(np.where(stop, at, 0))
    return np.asarray(started > stopped)
