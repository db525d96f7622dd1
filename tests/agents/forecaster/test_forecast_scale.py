"""Series whose noise grows with their value."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from forecast_stage import SLOTS, history, newest, waves
from hypothesis import given, settings
from hypothesis import strategies as st

from lookout.forecaster.crossing import Crossing
from lookout.forecaster.model import Forecast, forecast, look
from lookout.forecaster.scale import NOTE, back, into
from lookout.forecaster.series import Floats, Refused
from lookout.forecaster.training import train
from lookout.forecaster.until import until_lower


def growing(days: int, seed: int = 1) -> Floats:
    """Between 1 and 400 by the time of day, each value uncertain by a fifth of it."""
    wave = waves(days, noise=0) - 10
    noise = waves(days, seed, noise=0.2) - 10 - wave
    return np.asarray(np.exp(3 + 3 * wave + noise))


def made_of(values: Floats) -> Forecast:
    made = forecast(train(history(values)), newest(values))
    assert isinstance(made, Forecast), made
    return made


def test_the_band_is_as_wide_as_the_value_is_high_and_never_below_nought() -> None:
    values = growing(15)
    model = train(history(values[:-SLOTS]))
    assert model.floor > 0
    assert model.notes == (NOTE,)
    made = forecast(model, newest(values[:-SLOTS]))
    assert isinstance(made, Forecast)
    inside = (values[-SLOTS:] >= made.lower) & (values[-SLOTS:] <= made.upper)
    assert 0.85 < inside.mean() < 0.95
    assert (made.lower > 0).all()
    parts = (made.upper - made.lower) / made.values
    assert parts.max() < 1.5 * parts.min()
    plain = train(history(values[:-SLOTS], lower=-1.0))
    assert plain.floor == 0
    assert model.quality.mase < plain.quality.mase
    # Both errors are in units of the series.
    assert model.quality.scale == plain.quality.scale
    assert model.quality.naive_error == pytest.approx(plain.quality.naive_error)


def test_what_is_a_tenth_of_the_usual_is_an_anomaly_by_night_too() -> None:
    values = growing(16)
    model = train(history(values[: 14 * SLOTS]))
    night = 15 * SLOTS - SLOTS // 4  # sine at its lowest
    assert values[night] < 3
    assert not seen_flags(values[: night + 20])
    values[night : night + 12] /= 10
    assert seen_flags(values[: night + 12])
    # As a series with an upper bound it is read as it is, where this is next to nothing.
    plain = replace(train(history(values[: 14 * SLOTS], upper=1e9)), settings=model.settings)
    seen = look(plain, newest(values[: night + 12]))
    assert not isinstance(seen, Refused)
    assert not seen.scores.flags[-12:].any()


def seen_flags(values: Floats) -> bool:
    """Whether the last dozen holds an anomaly, by a model of the days before; none elsewhere."""
    seen = look(train(history(values[: 14 * SLOTS])), newest(values))
    assert not isinstance(seen, Refused)
    np.testing.assert_array_equal(seen.values, values[-SLOTS:])
    assert not seen.scores.flags[:-12].any()
    return bool(seen.scores.flags[-12:].any())


def test_noughts_are_the_floor_and_no_fault_of_the_program() -> None:
    values = growing(16)
    values[14 * SLOTS + 50 : 14 * SLOTS + 60] = 0
    values[12 * SLOTS + 5] = 0
    made = made_of(values)
    assert np.isfinite([made.values, made.lower, made.upper]).all()
    model = train(history(values[: 14 * SLOTS]))
    assert model.floor > 0
    seen = look(model, newest(values[: 14 * SLOTS + 60]))
    assert not isinstance(seen, Refused)
    assert seen.scores.flags[-10:].all()
    assert (seen.values[-10:] == 0).all()
    assert until_lower(
        replace(model, settings=replace(model.settings, lower=0.0)),
        newest(values[: 14 * SLOTS + 60]),
    ) == Crossing(0, 0, 0)


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        (waves(14), {}),  # noise that is even
        (growing(14) - 20, {}),  # negative by night
        (growing(14), {"upper": 1e6}),
        (np.where(np.arange(14 * SLOTS) % 5, growing(14), 0.0), {}),  # noughts are usual
    ],
)  # fmt: skip
def test_others_are_read_as_they_are(values: Floats, bounds: dict[str, float]) -> None:
    model = train(history(values, **bounds))
    assert model.floor == 0
    assert NOTE not in model.notes


def test_what_shrinks_by_parts_never_gets_to_nought() -> None:
    values = growing(14) * np.exp(-np.arange(14 * SLOTS) / SLOTS / 4)
    model = train(history(values, lower=0.0))
    assert model.floor > 0
    assert until_lower(model, newest(values, lower=0.0)) == Crossing(inf, inf, inf)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-40, 1e-3, 7.0, 1e9, 1e50]))
def test_another_unit_changes_nothing(seed: int, unit: float) -> None:
    one, other = made_of(growing(14, seed)), made_of(unit * growing(14, seed))
    for name in ("values", "lower", "upper"):
        np.testing.assert_allclose(getattr(other, name), unit * getattr(one, name), rtol=1e-6)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1), st.floats(1e-60, 1e50)
)
def test_there_and_back_is_the_same_above_the_floor(values: list[float], floor: float) -> None:
    given_ = np.clip(np.array(values), -1e60, 1e60)
    there = back(into(given_, floor), floor)
    np.testing.assert_allclose(there, np.maximum(given_, floor), rtol=1e-12)
    assert into(given_, 0.0) is given_
