"""How much of the present deviation is left after h slots: a regression for each horizon.

    deviation(o + h) = near(h) * mean of the last 3 deviations + far(h) * mean of the last quarter

of a season, by least squares without an intercept over origins two hours (a 12th of a season)
apart; for AR(1) noise `near` becomes phi^h. The direct form (one regression a horizon) does not
carry the error of one horizon into the next. A small ridge keeps a short history from absurd
weights.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lookout.forecaster.series import BLOCKS, Floats, Indices

NEAR_SLOTS = 3
RIDGE = 0.05
ORIGINS = 12
# Of a season of 288 slots: 5 min to a day, closer where memory fades fast.
GRID = (1, 2, 4, 8, 12, 24, 48, 72, 120, 168, 228, 288)


@lru_cache(maxsize=16)
def horizons(slots: int) -> Indices:
    """Slots ahead at which models are fitted and measured, ascending, the last is a season."""
    return np.asarray(np.unique(np.maximum(1, np.array(GRID) * slots // GRID[-1])))


def block_sums(deviations: Floats) -> Floats:
    """Sums of all blocks before each, (methods, D * BLOCKS + 1), of deviations (methods, D, m)."""
    methods, rows, slots = deviations.shape
    sums = np.zeros((methods, rows * BLOCKS + 1))
    blocks = deviations.reshape(methods, rows * BLOCKS, slots // BLOCKS).sum(axis=2)
    np.cumsum(blocks, axis=1, out=sums[:, 1:])
    return sums


def features(deviations: Floats, sums: Floats, at: Indices) -> tuple[Floats, Floats]:
    """Means of the last few and of the last quarter of a season, both (methods, ...).

    `at` (...,) are slots that end a block, counted through all rows; `sums` are those of blocks.
    """
    methods, rows, slots = deviations.shape
    flat = deviations.reshape(methods, rows * slots)
    near, far = wides(slots)
    few = flat.take(at, axis=1)
    for back in range(1, near):
        few += flat.take(np.maximum(0, at - back), axis=1)
    each = slots // BLOCKS
    end = (at + 1) // each
    start = np.maximum(0, end - far // each)
    return few / near, (sums.take(end, axis=1) - sums.take(start, axis=1)) / (each * (end - start))


def wides(slots: int) -> tuple[int, int]:
    """Slots that the two means are over."""
    return NEAR_SLOTS, slots // 4


@lru_cache(maxsize=16)
def origins(rows: int, slots: int) -> tuple[Indices, Indices, Floats]:
    """Origins (rows, ORIGINS), their targets (rows, ORIGINS, H), and 1 for those in reach."""
    each = slots // ORIGINS
    start = np.arange(rows)[:, None] * slots + each * np.arange(ORIGINS) + each - 1
    targets = start[..., None] + horizons(slots)
    inside = targets < rows * slots
    return start, np.where(inside, targets, 0), inside.astype(float)


def regress(deviations: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Weights as known after each row, (methods, D, H) both, from deviations (methods, D, m).

    Those at row r are from origins up to row r - 1, whose targets are in rows up to r; those at
    the last row from all targets that are known.
    """
    methods, rows, slots = deviations.shape
    start, targets, inside = origins(rows, slots)
    x, y = features(deviations, sums, start)
    target = deviations.reshape(methods, rows * slots).take(targets, axis=1) * inside
    # (methods, D, 3 or 2, ORIGINS) by (..., ORIGINS, H): sums over the origins of each row
    both = np.stack([x, y, x * x, x * y, y * y], axis=2)
    by_row = np.concatenate([both[:, :, 2:] @ inside, both[:, :, :2] @ target], axis=2)
    xx, xy, yy, xt, yt = np.moveaxis(known_after(by_row), 2, 0)
    xx, yy = xx * (1 + RIDGE), yy * (1 + RIDGE)
    down = xx * yy - xy * xy
    down = np.where(down > 0, down, np.inf)
    near, far = (yy * xt - xy * yt) / down, (xx * yt - xy * xt) / down
    return np.minimum(np.maximum(near, -1), 1), np.minimum(np.maximum(far, -1), 1)


def known_after(sums: Floats) -> Floats:
    """Sums of rows (methods, D, ...) up to the row before each; after the last of all."""
    out = np.zeros_like(sums)
    np.cumsum(sums[:, :-2], axis=1, out=out[:, 1:-1])
    out[:, -1] = out[:, -2] + sums[:, -2] + sums[:, -1]
    return out
