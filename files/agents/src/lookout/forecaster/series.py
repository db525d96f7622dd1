"""From samples as they were scraped to a grid with a value or a gap in each slot.

What is done with bad input, so that nobody has to guess:

- Samples that are NaN, infinite or beyond 1e60 are dropped, and counted in a note.
- Several samples in one slot are averaged. Order does not matter. A slot without one is a gap.
- Samples outside the bounds are kept, and counted in a note: they may be the fault to be seen.
- A raw counter is not mended. A note says that it looks like one; its query should be a rate().
- A history is refused, with a reason, that is shorter than seven seasons, has too many gaps, or
  ended too long ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# The shortest history that can be tested against itself: three seasons to learn, four to be judged.
LEAST_SEASONS = 7
# More tells of what the system was, not of what it is, and costs time.
MOST_SEASONS = 28
# With fewer the profile of a season is guesswork.
LEAST_KNOWN = 0.6
# A newest sample older than this part of a season: a forecast from it is one of the past.
MOST_AGE = 1 / 8
BLOCKS = 24
# Their fourth powers are summed: beyond that they would overflow, below be nought.
GREATEST = 1e60
SMALLEST = 1e-60
# A counter falls when its process starts anew, which is seldom, and rises most of the time.
FEW = 0.01
MOST = 0.5


@dataclass(frozen=True)
class Settings:
    """How a series is read: seconds of a slot and of a season, and what its values cannot pass."""

    step_seconds: int
    season_seconds: int = 86_400
    lower: float = -inf
    upper: float = inf

    def __post_init__(self) -> None:
        if self.step_seconds < 1 or self.season_seconds < 1:
            raise ValueError("step_seconds and season_seconds must be at least 1")
        if self.season_seconds % (self.step_seconds * BLOCKS):
            raise ValueError(
                f"season_seconds must be a multiple of {BLOCKS} steps of {self.step_seconds} s, "
                f"got {self.season_seconds}"
            )
        if not self.lower < self.upper:
            raise ValueError(f"lower must be below upper, got {self.lower} and {self.upper}")

    @property
    def slots(self) -> int:
        """Slots of a season."""
        return self.season_seconds // self.step_seconds


@dataclass(frozen=True)
class Series:
    """A series on its grid.

    `values` (n,) are NaN in a gap; slot i is of the time `(first_slot + i) * step_seconds`.
    """

    settings: Settings
    first_slot: int
    values: Floats
    notes: tuple[str, ...] = ()

    @property
    def next_slot(self) -> int:
        """The slot after the last: the first that a forecast is for."""
        return self.first_slot + len(self.values)

    @property
    def end(self) -> float:
        """Unix seconds where the last slot ends."""
        return float(self.next_slot * self.settings.step_seconds)


@dataclass(frozen=True)
class Refused:
    """Why a series is not forecast, in words for whoever wrote its query."""

    reason: str


def prepare(
    times: ArrayLike, values: ArrayLike, settings: Settings, now: float
) -> Series | Refused:
    """The history up to `now` (Unix seconds) for training, whole seasons of it, or why not.

    `times` (n,) are Unix seconds. Raises ValueError when the two differ in length.
    """
    series = on_grid(times, values, settings, now, MOST_SEASONS * settings.slots)
    if isinstance(series, Refused):
        return series
    grid, season = series.values, settings.season_seconds
    missing = -len(grid) % settings.slots
    if missing <= MOST_AGE * settings.slots:  # of the first season, which may begin with a gap
        grid = np.concatenate([np.full(missing, np.nan), grid])
    seasons = len(grid) // settings.slots
    if seasons < LEAST_SEASONS:
        has = len(series.values) * settings.step_seconds
        return Refused(
            f"its history of {length(has)} is shorter than the {length(LEAST_SEASONS * season)} "
            f"needed: {LEAST_SEASONS} seasons of {length(season)}"
        )
    grid = grid[len(grid) - seasons * settings.slots :]
    known = ~np.isnan(grid)
    part = np.count_nonzero(known) / len(grid)
    if part < LEAST_KNOWN:
        return Refused(
            f"only {part:.0%} of its slots of {settings.step_seconds} s have a value, "
            f"{LEAST_KNOWN:.0%} are needed: is the step shorter than the scrape interval?"
        )
    age = int(np.argmax(known[::-1])) * settings.step_seconds
    if age > MOST_AGE * season:
        return Refused(f"its newest sample is {length(age)} old: does the query still return it?")
    notes = series.notes
    if looks_like_counter(grid[known]):
        notes += (
            "it only rises, but for falls to near 0, as a raw counter does: query its rate()",
        )
    return Series(settings, series.next_slot - len(grid), grid, notes)


def on_grid(
    times: ArrayLike, values: ArrayLike, settings: Settings, now: float, most_slots: int
) -> Series | Refused:
    """The last `most_slots` slots that ended by `now`, from the first sample in them on."""
    at, what = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if at.shape != what.shape or at.ndim != 1:
        raise ValueError(f"times and values must be alike, got {at.shape} and {what.shape}")
    step = settings.step_seconds
    next_slot = int(now // step)
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(at) & (np.abs(what) <= GREATEST)
        within = usable & (at >= (next_slot - most_slots) * step) & (at < next_slot * step)
    dropped = int(len(at) - usable.sum())
    at, what = at[within], what[within]
    if not len(at):
        return Refused(
            "the query returned no usable sample"
            + (f": all {dropped} are NaN or infinite" if dropped else "")
        )
    first = int(at.min() // step)
    slots = (at / step).astype(np.int64) - first
    counts = np.bincount(slots, minlength=next_slot - first)
    sums = np.bincount(slots, weights=what, minlength=next_slot - first)
    with np.errstate(invalid="ignore"):
        grid = sums / counts  # nought by nought: a gap
    notes = []
    if dropped:
        notes.append(f"{dropped} samples were NaN or infinite and were left out")
    outside = int(((what < settings.lower) | (what > settings.upper)).sum())
    if outside:
        notes.append(f"{outside} samples are outside {settings.lower:g} to {settings.upper:g}")
    return Series(settings, first, grid, tuple(notes))


def looks_like_counter(known: Floats) -> bool:
    """Rises throughout, and falls only to less than a twentieth of what it was."""
    differences = np.diff(known)
    falls = differences < 0
    count = np.count_nonzero(falls)
    if not count or count / len(falls) > FEW or known.min() < 0:
        return False
    return bool(
        (known[1:][falls] < known[:-1][falls] / 20).all() and (differences > 0).mean() > MOST
    )


def is_constant(values: Floats) -> bool:
    """Whether known values differ by no more than rounding."""
    least, most = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    return most - least <= 1e-9 * max(abs(least), abs(most), SMALLEST)


def length(seconds: float) -> str:
    """A time that a person reads: `90 s`, `5.0 h`, `2.5 days`."""
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.3g} days"
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds:.0f} s"
