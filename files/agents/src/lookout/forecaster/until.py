"""Applies `crossing` to a model and the newest values of its series."""

from __future__ import annotations

from math import inf, isfinite

import numpy as np

from lookout.forecaster.anomalies import FAR
from lookout.forecaster.crossing import POINTS, SEASONS, Crossing, Run, cross, growth, slopes
from lookout.forecaster.model import Model, Path, expect, repeated
from lookout.forecaster.series import Refused, Series

NOW = Crossing(0.0, 0.0, 0.0)
# A sudden rise is looked for in the last quarter of a season, and in the last twelfth: 6 h and 2 h.
SUDDEN_PARTS = (4, 12)


def until_upper(model: Model, recent: Series) -> Crossing | Refused:
    """When the upper bound of its settings is reached."""
    return until(model, recent, model.settings.upper, rising=True)


def until_lower(model: Model, recent: Series) -> Crossing | Refused:
    """When the lower bound of its settings is reached."""
    return until(model, recent, model.settings.lower, rising=False)


def until(model: Model, recent: Series, bound: float, rising: bool) -> Crossing | Refused:
    """When `bound` is reached, from below where `rising`; nought when it is reached already."""
    path = expect(model, recent)
    if isinstance(path, Refused):
        return path
    if not isfinite(bound):
        return Crossing(inf, inf, inf)
    known = path.measured[np.isfinite(path.measured)]
    if (known[-1] >= bound) if rising else (known[-1] <= bound):
        return NOW
    if model.floor:  # has no bound but nought, which what shrinks by parts never reaches
        return Crossing(inf, inf, inf)
    step = model.settings.step_seconds
    found = cross(long_run(model, recent, path), bound, rising, step)
    for part in SUDDEN_PARTS:
        fast = sudden_run(path, model.settings.slots // part, float(np.median(model.noise)))
        if fast is not None:
            soon = cross(fast, bound, rising, step)
            found = min(found, soon, key=lambda each: each.likely)
    return found


def long_run(model: Model, recent: Series, path: Path) -> Run:
    """For SEASONS seasons, by the trend of two weeks."""
    slots = model.settings.slots
    if model.method == "naive":
        later = np.tile(path.values, SEASONS - 1)
    else:
        level = [
            repeated(model, model.profile, recent.next_slot + season * slots) - model.slope * season
            for season in range(1, SEASONS)
        ]
        later = np.concatenate(level) + path.left
    seasons = np.repeat(np.arange(SEASONS), slots)
    whole = np.concatenate([path.values, later])
    return Run(whole, growth(path.band), model.rise[:, None] * seasons)


def sudden_run(path: Path, wide: int, noise: float) -> Run | None:
    """The same by the trend of the last so many slots, if noise does not explain it."""
    seen, slots = path.seen, len(path.values)
    usual = seen.expected[-wide:]
    away = np.where(np.isnan(seen.values[-wide:]), 0.0, seen.values[-wide:] - usual)
    each = max(1, wide // POINTS)
    means = away[wide % each :].reshape(-1, each).mean(axis=1)
    low, likely, high = slopes(means) / each
    # Noise moves a value so far, not a slope that most pairs of values agree on. Single spikes, for
    # which the threshold of anomalies may be higher, do not move it at all.
    reach = FAR * noise
    if low * high <= 0 or abs(likely) * wide < reach:
        return None
    ahead = np.arange(1, SEASONS * slots + 1)
    start = float(seen.values[np.isfinite(seen.values)][-1])
    spread = reach / 2 * np.array([[-1.0], [1.0]]) * np.ones(len(ahead))
    return Run(np.full(len(ahead), start), spread, np.array([[low], [likely], [high]]) * ahead)
