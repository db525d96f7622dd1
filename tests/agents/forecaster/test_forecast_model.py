"""Training, forecasts, anomalies: what a model says of series whose nature is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from forecast_stage import SLOTS, history, newest, waves
from hypothesis import given, settings
from hypothesis import strategies as st

from lookout.forecaster.backtest import BAND, Quality
from lookout.forecaster.baseline import baseline
from lookout.forecaster.model import Forecast, Model, Seen, forecast, look
from lookout.forecaster.series import Floats, Refused
from lookout.forecaster.training import train


def forecast_of(model: Model, values: Floats) -> Forecast:
    made = forecast(model, newest(values))
    assert isinstance(made, Forecast), made
    return made


def seen_by(model: Model, values: Floats) -> Seen:
    made = look(model, newest(values))
    assert isinstance(made, Seen), made
    return made


def test_a_wave_with_a_trend_is_forecast_far_better_than_by_repeating_it() -> None:
    values = waves(15, slope=0.1)
    model = train(history(values[: 14 * SLOTS]))
    assert model.skill, model.reason
    made = forecast_of(model, values[: 14 * SLOTS])
    true = waves(15, noise=0, slope=0.1)[14 * SLOTS :]
    assert np.abs(made.values - true).mean() < 0.03
    assert model.quality.ratio < 0.75
    assert 0.8 <= model.quality.coverage <= 1
    inside = (values[14 * SLOTS :] >= made.lower) & (values[14 * SLOTS :] <= made.upper)
    assert inside.mean() == pytest.approx(BAND, abs=0.05)


@pytest.mark.parametrize("days", [7, 8, 10, 17, 18, 21, 28])
@pytest.mark.parametrize("cut", [0, 1, 7, 100])
def test_any_length_and_any_time_of_day_will_do(days: int, cut: int) -> None:
    values = waves(days + 2)[: len(waves(days + 1)) - cut]
    model = train(history(values))
    made = forecast_of(model, values)
    true = waves(days + 3, noise=0)[len(values) : len(values) + SLOTS]
    assert np.abs(made.values - true).mean() < 0.1


def test_a_model_is_applied_later_than_it_was_trained() -> None:
    values = waves(17, slope=0.05)
    model = train(history(values[: 14 * SLOTS]))
    for cut in (14 * SLOTS + 1, 14 * SLOTS + 100, 16 * SLOTS):
        made = forecast_of(model, values[:cut])
        true = waves(18, noise=0, slope=0.05)[cut : cut + SLOTS]
        assert np.abs(made.values - true).mean() < 0.05


def test_a_week_is_learned_from_18_days_on() -> None:
    days = 22
    weekend = np.repeat(np.where(np.arange(days + 1) % 7 >= 5, 0.2, 1.0), SLOTS)
    values = 10 + (waves(days + 1) - 10) * weekend + 2 * weekend
    model = train(history(values[:-SLOTS]))
    assert model.method.startswith("weekly")
    made = forecast_of(model, values[:-SLOTS])
    assert np.abs(made.values - values[-SLOTS:]).mean() < 0.2
    assert not seen_by(model, values).scores.flags.any()


def test_noise_without_a_pattern_is_no_better_than_its_mean_and_says_so() -> None:
    """Repeating is worse than the mean, so there is skill; a random walk has next to none."""
    noise = np.random.default_rng(1).normal(size=14 * SLOTS)
    assert train(history(noise)).quality.ratio == pytest.approx(2**-0.5, abs=0.05)


def test_where_repeating_is_best_it_is_used_and_said() -> None:
    """Every day has its own shape but for the last two, which are alike but for little."""
    random = np.random.default_rng(3)
    shape = random.normal(size=SLOTS)
    days = []
    for _ in range(14):
        shape = shape + random.normal(size=SLOTS) * 0.2
        days.append(shape + 0.01 * random.normal(size=SLOTS))
    values = np.concatenate(days)
    model = train(history(values))
    assert model.method == "naive"
    assert not model.skill
    assert "seasonal naive forecast" in model.reason
    made = forecast_of(model, values)
    np.testing.assert_array_equal(made.values, values[-SLOTS:])


def test_worse_than_naive_means_no_skill() -> None:
    quality = Quality(error=2.0, naive_error=1.0, scale=1.0, coverage=0.9, measured=10)
    assert quality.ratio == 2.0
    assert quality.mase == 2.0


def test_a_constant_series_is_forecast_and_raises_nothing() -> None:
    values = np.full(10 * SLOTS, 7.0)
    model = train(history(values))
    assert not model.skill
    assert model.reason.startswith("its history is constant")
    made = forecast_of(model, values)
    assert (made.values == 7).all()
    assert (made.lower == 7).all()


def test_bounds_hold_forecast_and_band() -> None:
    values = np.clip(waves(10), None, 10.8)
    model = train(history(values, upper=10.8, lower=9.1))
    made = forecast(model, newest(values, upper=10.8, lower=9.1))
    assert isinstance(made, Forecast)
    assert made.upper.max() <= 10.8
    assert made.lower.min() >= 9.1
    assert (made.lower <= made.values).all()
    assert (made.values <= made.upper).all()


def test_gaps_do_not_move_a_forecast() -> None:
    values = waves(14)
    whole = forecast_of(train(history(values)), values)
    random = np.random.default_rng(2)
    values[random.random(len(values)) < 0.1] = np.nan
    values[9 * SLOTS : 9 * SLOTS + 100] = np.nan
    values[-2:] = np.nan
    holed = forecast_of(train(history(values)), values)
    assert np.abs(whole.values - holed.values).max() < 0.1


def test_anomalies_in_the_history_do_not_move_a_forecast() -> None:
    values = waves(14)
    quiet = forecast_of(train(history(values)), values)
    for first, size in ((200, 30), (3000, 20), (3700, -50), (4000, 40)):
        values[first : first + 20] += size
    made = forecast_of(train(history(values)), values)
    assert np.abs(made.values - quiet.values).max() < 0.15


@pytest.mark.parametrize("size", [1.5, -1.5, 30])
def test_an_anomaly_is_flagged_at_its_first_slot_and_while_it_lasts(size: float) -> None:
    values = waves(15)
    model = train(history(values[: 14 * SLOTS]))
    hit = slice(14 * SLOTS + 100, 14 * SLOTS + 130)
    values[hit] += size
    flags = seen_by(model, values).scores.flags
    assert flags[100:130].all()
    assert not np.delete(flags, np.s_[100:130]).any()


def test_a_score_depends_on_nothing_that_came_later() -> None:
    values = waves(15)
    values[14 * SLOTS + 150 :] += 5
    model = train(history(values[: 14 * SLOTS]))
    for cut in (20, 140, 151, 155):
        seen = seen_by(model, values[: 14 * SLOTS + cut])
        assert bool(seen.scores.flags[-1]) == (cut > 150)
        assert (seen.scores.score[-1] >= 1) == (cut > 150)


def test_the_newest_score_of_an_ongoing_anomaly_stays_high_for_hours() -> None:
    """What is anomalous does not become what is expected: not before half a day."""
    values = waves(16)
    model = train(history(values[: 14 * SLOTS]))
    values[14 * SLOTS + 50 :] += 3
    for hours in (1, 4, 8, 11):
        seen = seen_by(model, values[: 14 * SLOTS + 50 + 12 * hours])
        assert seen.scores.flags[-1], hours
        assert seen.expected[-1] == pytest.approx(
            waves(16, noise=0)[14 * SLOTS + 49 + 12 * hours], abs=0.5
        )


def test_a_shift_that_stays_is_normal_after_half_a_day_and_a_little() -> None:
    values = waves(17)
    values[14 * SLOTS + 50 :] += 3
    model = train(history(values[: 14 * SLOTS]))
    flags = seen_by(model, values[: 14 * SLOTS + 50 + int(0.7 * SLOTS)]).scores.flags
    assert not flags[-1]
    later = train(history(values[: 16 * SLOTS]))
    assert not seen_by(later, values).scores.flags.any()


def test_an_anomaly_does_not_hide_the_next_one() -> None:
    values = waves(15)
    values[13 * SLOTS + 20 : 13 * SLOTS + 60] += 4
    model = train(history(values[: 14 * SLOTS]))
    values[14 * SLOTS + 20 : 14 * SLOTS + 25] += 2
    assert seen_by(model, values).scores.flags[20:25].all()


@pytest.mark.parametrize("slope", [0, 5, -5])
@pytest.mark.parametrize("days", [14, 21])
def test_a_trend_does_not_widen_what_is_usual(slope: float, days: int) -> None:
    values = waves(days + 1, slope=slope)
    model = train(history(values[: days * SLOTS]))
    assert 0.08 < np.median(model.noise) < 0.2
    seen = seen_by(model, values)
    assert not seen.scores.flags.any()
    assert np.abs(seen.values - seen.expected).mean() < 0.3
    values[-20:] += 1.5
    assert seen_by(model, values).scores.flags[-20:].all()


@pytest.mark.parametrize("weekly", [False, True])
def test_a_baseline_allows_for_a_trend(weekly: bool) -> None:
    rows = waves(21, slope=5).reshape(21, SLOTS)
    made = baseline(rows, 14, weekly)
    np.testing.assert_allclose(made.drift, 5, atol=0.1)
    assert np.abs(made.away).mean() < 0.15
    level = waves(21).reshape(21, SLOTS)
    assert np.abs(baseline(level, 14, weekly).drift).max() < 0.05


def test_what_happens_every_day_is_no_anomaly() -> None:
    values = waves(16)
    random = np.random.default_rng(5)
    for day in range(15):
        first = day * SLOTS + int(random.integers(0, SLOTS - 5))
        values[first : first + 2] += 3
    model = train(history(values[: 14 * SLOTS]))
    assert not seen_by(model, values[: 15 * SLOTS]).scores.flags.any()


def test_the_expected_band_encloses_normal_values() -> None:
    values = waves(15)
    model = train(history(values[: 14 * SLOTS]))
    seen = seen_by(model, values)
    assert ((seen.values >= seen.lower) & (seen.values <= seen.upper)).all()
    assert (seen.upper - seen.lower).mean() < 2


def test_too_few_newest_values_are_refused() -> None:
    values = waves(15)
    model = train(history(values))
    values[-SLOTS:-10] = np.nan
    made = forecast(model, newest(values))
    assert isinstance(made, Refused)
    assert made.reason == "only 3% of the last 24 h are known, 30% are needed"


def test_the_newest_known_slot_is_told() -> None:
    values = waves(15)
    model = train(history(values))
    assert seen_by(model, values).newest == SLOTS - 1
    values[-3:] = np.nan
    assert seen_by(model, values).newest == SLOTS - 4
    assert np.isnan(seen_by(model, values).scores.score[-1])


def test_another_step_is_refused() -> None:
    values = waves(15)
    model = train(history(values))
    other = replace(model, settings=replace(model.settings, step_seconds=600))
    made = look(other, newest(values))
    assert isinstance(made, Refused)
    assert "train it anew" in made.reason


def made_of(kind: str, random: np.random.Generator, size: int) -> Floats:
    normal = random.normal(size=size)
    kinds = {
        "normal": normal,
        "sparse": (random.random(size) < 0.01) * np.abs(normal),
        "integers": random.poisson(0.3, size=size).astype(float),
        "walk": normal.cumsum(),
        "heavy": np.clip(random.standard_cauchy(size=size), -1e4, 1e4),
        "almost constant": np.where(np.arange(size) == size // 2, 1.0, 0.0),
        "gaps": np.where(random.random(size) < 0.35, np.nan, normal),
    }
    return np.asarray(kinds[kind])


series = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(7, 20),
    st.sampled_from(["normal", "sparse", "integers", "walk", "heavy", "almost constant", "gaps"]),
    st.sampled_from([1e-60, 1e-9, 1.0, 1e12, 1e55]),
    st.sampled_from([0.0, 1.0, -1e3]),
)


@settings(max_examples=60)
@given(series)
def test_whatever_comes_in_finite_numbers_come_out(
    asked: tuple[int, int, str, float, float],
) -> None:
    seed, days, kind, scale, offset = asked
    values = made_of(kind, np.random.default_rng(seed), days * SLOTS)
    values = (values + offset) * scale
    values[-1] = 0.0 if np.isnan(values[-1]) else values[-1]
    with np.errstate(all="raise", under="ignore"):
        model = train(history(values))
        made = forecast_of(model, values)
        seen = seen_by(model, values)
    for array in (made.values, made.lower, made.upper, seen.expected, seen.lower, seen.upper):
        assert np.isfinite(array).all()
    known = np.isfinite(seen.values)
    assert np.isfinite(seen.scores.score[known]).all()
    assert np.isfinite([model.quality.mase, model.quality.ratio, model.quality.coverage]).all()
    assert (made.lower <= made.upper).all()
