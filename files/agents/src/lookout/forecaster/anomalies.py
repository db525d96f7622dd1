"""Which slots are anomalous, judged by what came before them alone.

Two signs are read together. `u`: how many deviations a value is from what was expected. `s`: how
many deviations it is from that *suddenly*, against the last few. A slow wave of noise reaches a
large `u` now and then, but seldom with a large `s`; a return to normal has a large `s`, but no `u`.
So an anomaly begins where their geometric mean passes a threshold, or `u` alone passes a higher
one, and lasts until `u` is small again. What most days reach is no anomaly: both thresholds rise
to a multiple of the median of the daily maxima, which an anomaly on fewer than half of the days
cannot move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lookout.forecaster.baseline import TO_DEVIATION, WEEK, Baseline, Flags, keep_on
from lookout.forecaster.series import Floats

# Chosen on generator A with the seeds for tuning (tests/forecast_series.py).
SUDDEN = 3.75
FAR = 5.0
# The daily maximum of 288 values of normal noise is near 3: that raises neither.
SUDDEN_TIMES = 1.35
FAR_TIMES = 1.6
STOP = 2.5
# Before a threshold can be told from daily maxima.
LEAST_ROWS = 3


@dataclass(frozen=True)
class Thresholds:
    """Where an anomaly begins: of the geometric mean of both signs, and of `u` alone."""

    sudden: float
    far: float


@dataclass(frozen=True)
class Scores:
    """Signs and verdict, all of one shape: `score` is 1 where an anomaly begins."""

    score: Floats
    far: Floats
    flags: Flags


def signs(base: Baseline) -> tuple[Floats, Floats]:
    """`u` and the geometric mean of both signs for each row of the baseline, (K, m)."""
    far = np.abs(base.away) / base.noise[:-1]
    step = np.abs(base.step_away) / base.step_noise[:-1]
    return far, np.sqrt(far * step)


def thresholds(far: Floats, both: Floats) -> Thresholds:
    """Thresholds for what comes after the last up to seven of these rows, (K, m) each."""
    highest = np.sort([each[-WEEK:].max(axis=1) for each in (both, far)], axis=1)
    usual = highest[:, (highest.shape[1] - 1) // 2]
    return Thresholds(max(SUDDEN, SUDDEN_TIMES * usual[0]), max(FAR, FAR_TIMES * usual[1]))


def judge(far: Floats, both: Floats, known: Flags, limit: Thresholds) -> Scores:
    """Scores of slots in a row, (n,) each; a slot that is not known neither begins nor ends one."""
    score = np.where(known, np.maximum(both / limit.sudden, far / limit.far), np.nan)
    flags = keep_on(known & (score >= 1), known & (far < STOP))
    return Scores(score, far, flags & known)


def judge_history(base: Baseline, known: Flags) -> tuple[int, Scores]:
    """Scores of a whole history as they would have been given then, and the row they begin at.

    `known` (D, m) tells which slots had a value.
    """
    far, both = signs(base)
    parts = [
        judge(far[row], both[row], known[base.first + row], thresholds(far[:row], both[:row]))
        for row in range(LEAST_ROWS, len(far))
    ]
    score = np.concatenate([part.score for part in parts])
    flags = np.concatenate([part.flags for part in parts])
    return base.first + LEAST_ROWS, Scores(score, far[LEAST_ROWS:].ravel(), flags)


def cleaned(rows: Floats, base: Baseline) -> Floats:
    """The history with what was anomalous replaced by what was expected, (D, m).

    Only by what was known before, from the baseline's first row on: a backtest may learn from it.
    The rows before that one are compared with the first that is expected of them all.
    """
    far, both = signs(base)
    flags = keep_on(((both >= SUDDEN) | (far >= FAR)).ravel(), (far < STOP).ravel())
    out = rows.copy()
    out[base.first :] = np.where(flags.reshape(far.shape), base.expected, rows[base.first :])
    early = rows[: base.first] - base.usual[0]
    early -= np.sort(early, axis=1)[:, early.shape[1] // 2, None]
    size = np.abs(early)
    limit = SUDDEN * TO_DEVIATION * np.sort(size, axis=None)[size.size // 2]
    out[: base.first] -= np.where(size > limit, early, 0)
    return out
