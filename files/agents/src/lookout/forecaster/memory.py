"""How much of the present deviation is left after h slots: a regression for each horizon.

    deviation(o + h) = near(h) * mean of the last 3 deviations + far(h) * mean of the last quarter

of a season, by least squares without an intercept over origins two hours (a 12th of a season)
apart; for AR(1) noise `near` becomes phi^h. The direct form (one regression a horizon) does not
carry the error of one horizon into the next. A small ridge keeps a short history from absurd
weights.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from lookout.forecaster.baseline import Flags
from lookout.forecaster.series import Floats, Indices

NEAR_SLOTS = 3
RIDGE = 0.05
ORIGINS = 12
# Of a season of 288 slots: 5 min to a day, closer where memory fades fast.
GRID = (1, 2, 3, 6, 9, 12, 18, 24, 36, 48, 72, 96, 144, 192, 240, 288)


@lru_cache(maxsize=16)
def horizons(slots: int) -> Indices:
    """Slots ahead at which models are fitted and measured, ascending, the last is a season."""
    return np.asarray(np.unique(np.maximum(1, np.array(GRID) * slots // GRID[-1])))


def features(deviations: Floats) -> tuple[Floats, Floats]:
    """Means of the last few and of the last quarter of a season at each slot.

    `deviations` (..., D, m) in rows; both are (..., D * m).
    """
    *head, rows, slots = deviations.shape
    flat = deviations.reshape(*head, rows * slots)
    sums = np.zeros((*head, rows * slots + 1))
    np.cumsum(flat, axis=-1, out=sums[..., 1:])
    return trailing(sums, NEAR_SLOTS), trailing(sums, slots // 4)


def trailing(sums: Floats, wide: int) -> Floats:
    """Means of up to `wide` last values from their running sums, (..., n + 1) to (..., n)."""
    size = sums.shape[-1] - 1
    out = np.empty((*sums.shape[:-1], size))
    out[..., wide:] = (sums[..., wide + 1 :] - sums[..., 1:-wide]) / wide
    out[..., :wide] = sums[..., 1 : wide + 1] / np.arange(1, wide + 1)
    return out


@lru_cache(maxsize=16)
def origins(rows: int, slots: int) -> tuple[Indices, Indices, Flags]:
    """Origins (rows, ORIGINS), their targets (rows, ORIGINS, H) and which of these are in reach."""
    each = slots // ORIGINS
    start = np.arange(rows)[:, None] * slots + each * np.arange(ORIGINS) + each - 1
    targets = start[..., None] + horizons(slots)
    inside: Flags = targets < rows * slots
    return start, np.where(inside, targets, 0), inside


def regress(deviations: Floats, near: Floats, far: Floats) -> tuple[Floats, Floats]:
    """Weights as known after each row: `near` and `far` (..., D, H) from deviations (..., D, m).

    Those at row r are from origins up to row r - 1, whose targets are in rows up to r; those at
    the last row from all targets that are known.
    """
    *head, rows, slots = deviations.shape
    start, targets, inside = origins(rows, slots)
    flat = deviations.reshape(*head, rows * slots)
    target = flat[..., targets] * inside
    x, y = near[..., start], far[..., start]
    count = inside.astype(float)
    sums: list[Any] = [
        ((x * x)[..., None, :] @ count)[..., 0, :],
        ((x * y)[..., None, :] @ count)[..., 0, :],
        ((y * y)[..., None, :] @ count)[..., 0, :],
        (x[..., None, :] @ target)[..., 0, :],
        (y[..., None, :] @ target)[..., 0, :],
    ]
    for index, each in enumerate(sums):
        total = np.cumsum(each, axis=-2)
        sums[index] = np.concatenate(
            [0 * total[..., :1, :], total[..., :-2, :], total[..., -1:, :]], -2
        )
    xx, xy, yy, xt, yt = sums
    xx, yy = xx * (1 + RIDGE) + 1e-300, yy * (1 + RIDGE) + 1e-300
    down = xx * yy - xy * xy
    down = np.where(down > 0, down, 1.0)
    return np.clip((yy * xt - xy * yt) / down, -1, 1), np.clip((xx * yt - xy * xt) / down, -1, 1)
