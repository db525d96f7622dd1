"""Whether a series is read as it is, or by its logarithm, where noise that grows with it is even.

A model's `floor` tells which: 0 is as it is; above, values below it count as it, as a nought has
no logarithm. What comes back from a logarithm is a median, which the mean absolute error asks for.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from lookout.forecaster.series import BLOCKS, GREATEST, Floats, Settings

# Every third slot tells enough.
THIN = 3
# Values below a tenth of what all but one in a hundred reach are faults, however far they fall.
FEW = 100
FLOOR_PART = 0.1
# Nought where noise does not know of the level, one where it is a part of it.
MIDWAY = 0.5
# With levels less apart the line is a guess: on generator A, with the seeds for tuning, its slope,
# which is nought there, was found with a deviation of 0.55, and beyond with 0.3.
LEAST_APART = 2.0
NOTE = "its noise grows with its value: it is forecast by its logarithm"


def floor_of(rows: Floats, settings: Settings) -> float:
    """The floor for a history (D, m) without gaps.

    By the line of spread against level, both as logarithms (Tukey, Exploratory Data Analysis,
    1977): of each time of day the median change from one day to the next, and the median. What has
    an upper bound or may be negative is read as it is: it grows by amounts.
    """
    if isfinite(settings.upper) or (isfinite(settings.lower) and settings.lower < 0):
        return 0.0
    thin = rows.reshape(len(rows), BLOCKS, -1)[:, :, ::THIN]
    least = float(np.partition(thin, thin.size // FEW, axis=None)[thin.size // FEW])
    if least <= 0:
        return 0.0
    level, spread = medians(thin[1:]), medians(np.abs(thin[1:] - thin[:-1]))
    if level.max() < LEAST_APART * level.min() or spread.min() <= 0:
        return 0.0
    level, spread = np.log(level), np.log(spread)
    level -= level.sum() / BLOCKS
    grows = level @ spread > MIDWAY * (level @ level)
    return FLOOR_PART * least if grows else 0.0


def medians(blocks: Floats) -> Floats:
    """By time of day, (BLOCKS,), of all rows (D, BLOCKS, n)."""
    each = np.sort(blocks.swapaxes(0, 1).reshape(BLOCKS, -1), axis=1)
    return np.asarray(each[:, each.shape[1] // 2])


def into(values: Floats, floor: float) -> Floats:
    """Values of a series as a model with that floor reads them."""
    return np.log(np.maximum(values, floor)) if floor else values


def back(values: Floats, floor: float) -> Floats:
    """Values of a model in units of the series."""
    return np.exp(np.minimum(values, np.log(GREATEST))) if floor else values
