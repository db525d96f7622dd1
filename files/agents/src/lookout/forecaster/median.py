"""Medians of a few arrays, element by element: several times as fast as sorting along a short axis.

By odd-even transposition (Knuth, The Art of Computer Programming 5.3.4), without what is sorted and
not looked at: the median of seven needs 30 of its 42 minima and maxima.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lookout.forecaster.series import Floats


def median_of(arrays: list[Floats]) -> Floats:
    """Medians of arrays of one shape; of an even number the mean of the two in the middle."""
    sort = list(arrays)
    count = len(sort)
    for low, least, most in comparisons(count):
        one, two = sort[low], sort[low + 1]
        if least:
            sort[low] = np.minimum(one, two)
        if most:
            sort[low + 1] = np.maximum(one, two)
    middle = sort[count // 2]
    return middle if count % 2 else 0.5 * (sort[count // 2 - 1] + middle)


@lru_cache(maxsize=16)
def comparisons(count: int) -> tuple[tuple[int, bool, bool], ...]:
    """Those that a median needs: the lower place, and which of the two results are used later."""
    every = [low for turn in range(count) for low in range(turn % 2, count - 1, 2)]
    used, found = {(count - 1) // 2, count // 2}, []
    for low in reversed(every):
        both = {low, low + 1}
        if used & both:
            found.append((low, low in used, low + 1 in used))
            used |= both
    return tuple(reversed(found))
