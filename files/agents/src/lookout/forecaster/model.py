"""A trained model, and what it says of the newest values: forecast, bands, scores.

Arrays that have a place for each slot of a season (or of a week) are indexed by the absolute slot,
`(unix time // step) % length`, so that a model can be applied at any later time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lookout.forecaster import anomalies, memory
from lookout.forecaster.anomalies import Scores, Thresholds
from lookout.forecaster.backtest import Quality
from lookout.forecaster.baseline import Flags, filled, sudden, trailing_level
from lookout.forecaster.scale import back, into
from lookout.forecaster.series import BLOCKS, Floats, Refused, Series, Settings, length

# Seasons of newest values that a model is applied to.
RECENT_SEASONS = 2
# Less of the last season known: its level would be a guess.
LEAST_RECENT = 0.3


@dataclass(frozen=True)
class Model:
    """All that a forecast needs. Units are those of the series, or its logarithm's (scale.py).

    `profile` (p * m,): expected values of the season or week after training; `slope` is what is
    added a season, whenever the profile begins anew. `near`, `far` (H,): the memory's weights at
    the horizons of `memory.horizons`. `band` (2, H): around the forecast, in units of `width`
    (BLOCKS,), the noise by time of day. `quality` is in units of the series.
    `usual` (p' * m,), `noise`, `step_noise` (BLOCKS,), `limit`: of the anomaly scores;
    `drift`: what the level gains a season beside `slope`.
    `rise` (3,): what the level robustly gains a season, at least, likely, at most.
    `next_slot`: the slot after the last of its history.
    """

    settings: Settings
    next_slot: int
    seasons: int
    method: str
    skill: bool
    reason: str
    notes: tuple[str, ...]
    floor: float
    quality: Quality
    profile: Floats
    slope: float
    near: Floats
    far: Floats
    band: Floats
    width: Floats
    usual: Floats
    noise: Floats
    step_noise: Floats
    drift: float
    limit: Thresholds
    rise: Floats


@dataclass(frozen=True)
class Seen:
    """The last season of newest values as the model sees it, (m,) each; the newest is the last.

    `lower` and `upper` enclose what would not be called an anomaly if it came slowly.
    """

    first_slot: int
    values: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    scores: Scores

    @property
    def newest(self) -> int:
        """The index of the newest slot that has a value."""
        return int(np.flatnonzero(np.isfinite(self.values))[-1])


@dataclass(frozen=True)
class Forecast:
    """Expected values and the band that holds 90 % of them, (m,) each, from `first_slot` on.

    `seen` is the season before it, with its scores.
    """

    seen: Seen
    first_slot: int
    values: Floats
    lower: Floats
    upper: Floats

    def at(self, slots_ahead: int) -> tuple[float, float, float]:
        """Value, lower and upper edge so many slots after the last known one, 1 to m."""
        index = slots_ahead - 1
        return float(self.values[index]), float(self.lower[index]), float(self.upper[index])


def take(whole: Floats, first_slot: int, count: int) -> Floats:
    """Values of an array by absolute slot for `count` slots from `first_slot` on."""
    begin = first_slot % len(whole)
    return whole.take(np.arange(begin, begin + count), mode="wrap")


def spread(blocks: Floats, first_slot: int, count: int) -> Floats:
    """The noise by time of day for slots, from its blocks (BLOCKS,)."""
    begin = first_slot % count
    return blocks.take(np.arange(begin, begin + count) // (count // BLOCKS), mode="wrap")


def recent_rows(model: Model, recent: Series) -> Floats | Refused:
    """The last two seasons (2, m), gaps as NaN, or why a model cannot be applied to them."""
    slots = model.settings.slots
    if recent.settings.step_seconds != model.settings.step_seconds:
        return Refused(
            f"its step is {recent.settings.step_seconds} s, the model was trained with "
            f"{model.settings.step_seconds} s: train it anew"
        )
    values = recent.values[-RECENT_SEASONS * slots :]
    rows = np.full(RECENT_SEASONS * slots, np.nan)
    rows[len(rows) - len(values) :] = values
    known = float(np.isfinite(rows[slots:]).mean())
    if known < LEAST_RECENT:
        return Refused(
            f"only {known:.0%} of the last {length(model.settings.season_seconds)} are known, "
            f"{LEAST_RECENT:.0%} are needed"
        )
    return rows.reshape(RECENT_SEASONS, slots)


def look(model: Model, recent: Series) -> Seen | Refused:
    """Scores of the last season, each slot's from values before it and from the model alone."""
    rows = recent_rows(model, recent)
    if isinstance(rows, Refused):
        return rows
    return in_units(model, scored(model, rows, recent.next_slot), rows[1])


def scored(model: Model, rows: Floats, next_slot: int) -> Seen:
    """The same of two seasons (2, m) before a slot, in the model's units."""
    rows = into(rows, model.floor)
    slots = model.settings.slots
    first = next_slot - slots
    known: Flags = np.isfinite(rows[1])
    values = filled(rows)
    here = values[1] - repeated(model, model.usual, first)
    previous = values[0] - repeated(model, model.usual, first - slots) + model.drift
    away = here - trailing_level(previous[None], here[None])[0]
    noise = spread(model.noise, first, slots)
    far = np.abs(away) / noise
    step = np.abs(sudden(away)) / spread(model.step_noise, first, slots)
    scores = anomalies.judge(far, np.sqrt(far * step), known, model.limit)
    expected = values[1] - away
    reach = model.limit.far * noise
    return Seen(first, rows[1], expected, expected - reach, expected + reach, scores)


def in_units(model: Model, seen: Seen, values: Floats) -> Seen:
    """What was seen, in units of the series; `values` (m,) are as they were measured."""
    if not model.floor:
        return seen
    expected, lower, upper = (
        back(each, model.floor) for each in (seen.expected, seen.lower, seen.upper)
    )
    return replace(seen, values=values, expected=expected, lower=lower, upper=upper)


def forecast(model: Model, recent: Series) -> Forecast | Refused:
    """The season after `recent`; what was anomalous in it does not move the forecast."""
    path = expect(model, recent)
    if isinstance(path, Refused):
        return path
    bounds = model.settings.lower, model.settings.upper
    values, lower, upper = (
        np.clip(back(path.values + edge, model.floor), *bounds) for edge in (0.0, *path.band)
    )
    lower, upper = np.minimum(lower, values), np.maximum(upper, values)
    seen = in_units(model, path.seen, path.measured)
    return Forecast(seen, recent.next_slot, values, lower, upper)


@dataclass(frozen=True)
class Path:
    """A forecast without bounds: values (m,), band around them (2, m), memory left at its end.

    All in the model's units, but for `measured` (m,), the season before as it was.
    """

    seen: Seen
    measured: Floats
    values: Floats
    band: Floats
    left: float


def expect(model: Model, recent: Series) -> Path | Refused:
    """Values and band of the season after `recent`, whatever the bounds are."""
    rows = recent_rows(model, recent)
    if isinstance(rows, Refused):
        return rows
    seen = scored(model, rows, recent.next_slot)
    slots, first = model.settings.slots, recent.next_slot
    ahead, grid = np.arange(1, slots + 1), memory.horizons(slots)
    values, left = seen.values, 0.0
    if model.method == "naive":
        values = np.where(np.isnan(values), seen.expected, values)
    else:
        clean = np.where(seen.scores.flags | np.isnan(values), seen.expected, values)
        deviations = clean - repeated(model, model.profile, first - slots)
        near, far = (float(deviations[-wide:].mean()) for wide in memory.wides(slots))
        values = repeated(model, model.profile, first)
        values += np.interp(ahead, grid, near * model.near + far * model.far)
        left = float(near * model.near[-1] + far * model.far[-1])
    width = spread(model.width, first, slots)
    band = np.stack([width * np.interp(ahead, grid, edge) for edge in model.band])
    return Path(seen, rows[1], values, band, left)


def repeated(model: Model, whole: Floats, first_slot: int) -> Floats:
    """A season from a slot on of what is expected again and again, and rises by the slope, (m,)."""
    slots, period = model.settings.slots, len(whole)
    periods = (first_slot + np.arange(slots) - model.next_slot) // period
    return take(whole, first_slot, slots) + model.slope * (period // slots) * periods
