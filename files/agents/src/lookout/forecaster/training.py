"""From a prepared history to a model: clean, fit, choose, measure."""

from __future__ import annotations

import numpy as np

from lookout.forecaster import anomalies, candidates
from lookout.forecaster.anomalies import Thresholds
from lookout.forecaster.backtest import (
    LAG,
    LEARN,
    Fit,
    Quality,
    bands,
    choices,
    fit,
    measure,
    moments,
)
from lookout.forecaster.baseline import (
    SMALLEST_PART,
    WEEK,
    Baseline,
    baseline,
    better_baseline,
    filled,
    settle,
)
from lookout.forecaster.candidates import WINDOW, expectations, has_slope, period
from lookout.forecaster.crossing import slopes
from lookout.forecaster.memory import horizons
from lookout.forecaster.model import Model
from lookout.forecaster.scale import NOTE, back, floor_of, into
from lookout.forecaster.series import BLOCKS, SMALLEST, Floats, Series, is_constant

# Folds: the last 14 rows at most, and four at least.
MOST_FOLDS = 14
LEAST_FOLDS = LEARN + LAG + 1


def train(series: Series) -> Model:
    """The best model of a prepared history."""
    slots = series.settings.slots
    measured = series.values.reshape(-1, slots)
    known = ~np.isnan(measured)
    rows = filled(measured)
    if is_constant(series.values):
        return constant(series, float(rows[-1, -1]))
    floor = floor_of(rows, series.settings)
    rows = into(rows, floor)
    weeks = len(rows) >= 2 * WEEK + LEAST_FOLDS
    first = 2 * WEEK if weeks else min(WEEK, len(rows) - LEAST_FOLDS)
    first = max(first, len(rows) - MOST_FOLDS)
    base = better_baseline(rows, first) if weeks else baseline(rows, first, weekly=False)
    clean = anomalies.cleaned(rows, base)
    methods = candidates.WEEKLY if weeks else candidates.DAILY
    tried = fit(methods, rows, clean, known, first)
    errors = in_units(tried, floor)
    chosen = choices(errors)
    relative = tried.errors / widths_of(base, slots)
    quality, band = measure(errors, relative, chosen, seasonal_error(measured))
    index, reason = verdict(methods, int(chosen[-1]), quality)
    if index != chosen[-1]:
        band = bands(relative[index])
    drift = float(base.drift[-1])
    last, width = series.next_slot, by_block(base.noise, series.next_slot)
    profile = profile_of(tried, index, clean)
    usual: Floats = base.usual[len(rows) - first :].ravel()
    if not reason:  # less noisy than the medians that cleaning began with
        usual, base = profile, settle_on(tried, index, rows, base.drift)
    middle = np.sort(clean[-WINDOW:], axis=1)[:, slots // 2]
    return Model(
        settings=series.settings,
        next_slot=last,
        seasons=len(rows),
        method=methods[index],
        skill=not reason,
        reason=reason,
        notes=(*series.notes, NOTE) if floor else series.notes,
        floor=floor,
        quality=quality,
        profile=by_slot(profile, last),
        slope=float(tried.slopes[index, -1]),
        near=tried.near[index],
        far=tried.far[index],
        band=band,
        width=width,
        usual=by_slot(usual, last),
        noise=by_block(base.noise, last),
        step_noise=by_block(base.step_noise, last),
        drift=0.0 if has_slope(methods[index]) else drift,
        limit=anomalies.thresholds(*anomalies.signs(base)),
        rise=slopes(middle),
    )


def in_units(tried: Fit, floor: float) -> Floats:
    """Errors in units of the series, (methods, K, ORIGINS, H)."""
    if not floor:
        return tried.errors
    return back(tried.actual, floor) - back(tried.actual - tried.errors, floor)


def verdict(methods: tuple[str, ...], index: int, quality: Quality) -> tuple[int, str]:
    """The method to use, and why it has no skill; no reason: it has."""
    if methods[index] == "naive":
        return 0, "no candidate was better than the seasonal naive forecast"
    if quality.ratio < 1:
        return index, ""
    return 0, (
        f"on days not used for the choice its error was {quality.ratio:.2f} of the seasonal naive "
        "forecast's, which is used"
    )


def widths_of(base: Baseline, slots: int) -> Floats:
    """The noise known before each fold at its targets, (K, ORIGINS, H)."""
    targets = moments(base.first + len(base.away), base.first, slots)[1] % slots
    return np.asarray(base.noise[:-1][:, targets])


def by_block(noise: Floats, last_slot: int) -> Floats:
    """The newest noise (K, m) by block of the absolute season, (BLOCKS,)."""
    return by_slot(noise[-1], last_slot)[:: noise.shape[1] // BLOCKS]


def by_slot(coming: Floats, first_slot: int) -> Floats:
    """Values from a slot on, (p * m,), turned so that each is at its absolute slot."""
    begins = len(coming) - first_slot % len(coming)
    return np.concatenate([coming[begins:], coming[:begins]])


def profile_of(tried: Fit, index: int, clean: Floats) -> Floats:
    """What a method expects of the season or the week after a history (D, m), (p * m,)."""
    method, coming = tried.methods[index], tried.coming[index, -1]
    later = [
        expectations((method,), clean, len(clean), ahead)[0].ravel()
        for ahead in range(1, period(method))
    ]
    return np.concatenate([coming, *later])


def settle_on(tried: Fit, index: int, rows: Floats, drift: Floats) -> Baseline:
    """The baseline of what the chosen method expected of each fold."""
    method, coming = tried.methods[index], tried.coming[index]
    if period(method) > 1:  # each row has its own expectation, at the level of its time
        return settle(rows, coming, np.concatenate([coming[:1], coming[:-2]]), 0 * drift)
    return settle(rows, coming, coming[:-1], tried.slopes[index] if has_slope(method) else drift)


def constant(series: Series, value: float) -> Model:
    """A series that never moved: it will be the same, and nothing tells what would be unusual."""
    slots = series.settings.slots
    zero = np.zeros(len(horizons(slots)))
    least = np.full(BLOCKS, max(SMALLEST_PART * abs(value), SMALLEST))
    return Model(
        settings=series.settings,
        next_slot=series.next_slot,
        seasons=len(series.values) // slots,
        method="naive",
        skill=False,
        reason="its history is constant: nothing tells how far it may move",
        notes=series.notes,
        floor=0.0,
        quality=Quality(0.0, 0.0, 0.0, 1.0, 0),
        profile=np.full(slots, value),
        slope=0.0,
        near=zero,
        far=zero,
        band=np.zeros((2, len(zero))),
        width=least,
        usual=np.full(slots, value),
        noise=least,
        step_noise=least,
        drift=0.0,
        limit=Thresholds(anomalies.SUDDEN, anomalies.FAR),
        rise=np.zeros(3),
    )


def seasonal_error(rows: Floats) -> float:
    """Mean absolute error of the seasonal naive forecast within a history (D, m)."""
    steps = np.abs(rows[1:] - rows[:-1])
    known = steps[np.isfinite(steps)]
    return float(known.mean()) if len(known) else 0.0
