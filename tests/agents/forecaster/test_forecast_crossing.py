"""When a bound is reached."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from forecast_stage import SLOTS, STEP, history, newest, waves
from hypothesis import given
from hypothesis import strategies as st

from lookout.forecaster.crossing import Crossing, growth, slopes
from lookout.forecaster.series import Floats, Refused
from lookout.forecaster.training import train
from lookout.forecaster.until import until_lower, until_upper

DAY = 86_400


def upper(values: Floats, bound: float, trained: int | None = None) -> Crossing:
    model = train(history(values[:trained], upper=bound))
    made = until_upper(model, newest(values, upper=bound))
    assert isinstance(made, Crossing), made
    return made


def test_a_disk_that_fills_is_full_when_the_line_says_so() -> None:
    values = waves(14, noise=0.02, slope=1.0)  # 10 + day, and a wave of 1
    made = upper(values, 28.5)
    # The wave reaches its top, 1, at a quarter of a day: 10 + t + sin = 28.5 first near 17.6 days.
    assert made.likely / DAY == pytest.approx(4.0, abs=0.5)
    assert made.earliest <= made.likely <= made.latest
    assert made.latest - made.earliest < 2 * DAY


def test_a_level_series_never_fills() -> None:
    assert upper(waves(14), 20) == Crossing(inf, inf, inf)


def test_what_is_full_is_full_now() -> None:
    values = waves(14)
    assert upper(values, float(values[-1])) == Crossing(0, 0, 0)


def test_a_falling_series_reaches_its_lower_bound() -> None:
    values = waves(14, slope=-0.4, noise=0.02)
    model = train(history(values, lower=2.0))
    made = until_lower(model, newest(values, lower=2.0))
    assert isinstance(made, Crossing)
    assert 3.5 < made.likely / DAY < 6.5
    assert until_upper(model, newest(values)) == Crossing(inf, inf, inf)


def test_a_log_that_fills_a_disk_tonight_is_seen_in_hours() -> None:
    """The trend of two weeks knows nothing of it."""
    values = waves(14, noise=0.02)
    trained = len(values) - SLOTS
    hours = 5 * 12
    values[-hours:] += 0.05 * np.arange(hours)  # 0.6 an hour
    made = upper(values, 20, trained)
    assert made.likely / 3600 == pytest.approx((20 - values[-1]) / 0.6, rel=0.3)


def test_noise_alone_is_no_sudden_rise() -> None:
    for seed in range(30):
        assert upper(waves(14, seed=seed, noise=0.3), 20).likely == inf


def test_a_disk_that_was_cleaned_up_once_still_fills() -> None:
    values = waves(14, noise=0.02, slope=1.0)
    values[6 * SLOTS :] -= 4
    made = upper(values, 24.5)
    assert 2.5 * DAY < made.likely < 8 * DAY


def test_a_random_walk_has_a_band_that_grows() -> None:
    values = 100 + np.random.default_rng(1).normal(size=14 * SLOTS).cumsum() * 0.05
    made = upper(values, float(values[-1] + 3))
    assert made.earliest < made.latest
    assert made.latest == inf


def test_too_few_newest_values_are_refused() -> None:
    values = waves(14)
    model = train(history(values, upper=20))
    values[-SLOTS:] = np.nan
    values[-1] = 10
    assert isinstance(until_upper(model, newest(values, upper=20)), Refused)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(3, 20), st.integers(0, 19))
def test_slopes_of_a_line_with_one_outlier(
    start: float, slope: float, count: int, where: int
) -> None:
    levels = np.asarray(start + slope * np.arange(count), dtype=np.float64)
    if count >= 6:
        levels[where % count] += 1e7
    low, likely, high = slopes(levels)
    assert low <= likely <= high
    assert likely == pytest.approx(slope, abs=1e-3 + 1e-9 * (abs(start) + abs(slope)))


def test_slopes_band_is_sens() -> None:
    """By hand for n = 4: N = 6, half width 1.645 * sqrt(4 * 3 * 13 / 18) / 2 = 2.42 ranks."""
    levels = np.array([0.0, 1.0, 1.0, 4.0])
    ordered = np.sort([1, 0.5, 4 / 3, 0, 1.5, 3])
    low, likely, high = slopes(levels)
    assert likely == pytest.approx((1 + 4 / 3) / 2)
    assert low == pytest.approx(np.interp(2.5 - 2.421, range(6), ordered), abs=1e-3)
    assert high == pytest.approx(np.interp(2.5 + 2.421, range(6), ordered), abs=1e-3)


def test_bands_grow_as_they_grew() -> None:
    flat = growth(np.stack([np.full(SLOTS, -1.0), np.full(SLOTS, 2.0)]))
    np.testing.assert_allclose(flat[1], 2)
    root = np.sqrt(np.arange(1, SLOTS + 1) / SLOTS)
    walk = growth(np.stack([-root, root]))
    np.testing.assert_allclose(walk[1, 4 * SLOTS - 1], 2)
    assert walk.shape[1] * STEP == 14 * DAY
