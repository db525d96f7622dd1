"""What is published was measured on days that did not choose; and it holds on generated series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from forecast_stage import SLOTS, history, waves

from lookout.forecaster.anomalies import judge_history
from lookout.forecaster.backtest import LAG, LEARN, Quality, bands, choices, fit, measure
from lookout.forecaster.baseline import baseline, better_baseline, filled
from lookout.forecaster.candidates import DAILY, WEEKLY
from lookout.forecaster.model import Forecast, forecast
from lookout.forecaster.series import Floats, Series, Settings, prepare
from lookout.forecaster.training import train, verdict
from tests.bench_forecast import foretell, watch
from tests.bench_forecast_report import Tally
from tests.forecast_series import DAY_SECONDS, START, Generated, autoregressive, daily, weekly

FOLDS, ORIGINS, HORIZONS = 8, 4, 5


def errors(seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(size=(3, FOLDS, ORIGINS, HORIZONS))


def test_a_choice_knows_only_folds_whose_targets_had_come() -> None:
    one = errors()
    for fold in range(FOLDS):
        two = one.copy()
        two[:, fold] *= np.array([99, 0.01, 99])[:, None, None]  # now the second is best
        first, second = choices(one), choices(two)
        # That for fold k is at k - LEARN - LAG, and knows folds up to k - LAG - 1; the last, all.
        untouched = min(max(0, fold + 1 - LEARN), len(first) - 1)
        np.testing.assert_array_equal(first[:untouched], second[:untouched])
        assert second[-1] == 1


def test_a_published_error_is_that_of_the_choice_made_before() -> None:
    """The method that is best in the end was not known to be; what was chosen then is measured."""
    tried = np.ones((3, FOLDS, ORIGINS, HORIZONS))
    tried[1, :4], tried[2, :4] = 0.5, 2.0
    tried[1, 4:], tried[2, 4:] = 3.0, -0.5
    tried[2, 6:] = 0.01
    chosen = choices(tried)
    assert chosen[0] == 1
    assert chosen[-1] != 1
    made, _ = measure(tried, tried, chosen, 1.0)
    assert made.error > np.abs(tried[0, LEARN + LAG :]).mean()
    assert made.naive_error == 1
    assert made.ratio > 1  # and so it has no skill, whatever it would choose now


def test_published_figures_do_not_depend_on_the_folds_that_chose() -> None:
    tried, widths = errors(), np.ones((FOLDS, ORIGINS, HORIZONS))
    chosen = np.zeros(FOLDS - LEARN - LAG + 1, dtype=int)
    made, last = measure(tried, tried / widths, chosen, 1.0)
    np.testing.assert_array_equal(last, bands(tried[0]))
    other = tried.copy()
    other[:, : LEARN + LAG] *= 1.5  # only bands may change
    again, _ = measure(other, other / widths, chosen, 1.0)
    assert made.error == again.error
    assert made.measured == again.measured == (FOLDS - LEARN - LAG) * ORIGINS * HORIZONS


def test_coverage_of_bands_that_are_too_narrow_is_published_as_it_is() -> None:
    tried = errors()
    tried[:, LEARN + LAG :] *= 20  # a system that became wilder than its past
    chosen = choices(tried)
    assert measure(tried, tried, chosen, 1.0)[0].coverage < 0.6


def test_bands_hold_their_share_of_errors_and_pass_over_gaps() -> None:
    many = np.random.default_rng(3).normal(size=(100, 20, 6))
    low, high = bands(many)
    np.testing.assert_allclose(low, -1.645, atol=0.1)
    np.testing.assert_allclose(high, 1.645, atol=0.1)
    many[::2] = np.nan
    np.testing.assert_allclose(bands(many), [low, high], atol=0.15)
    assert (bands(np.full((3, 2, 6), np.nan)) == 0).all()


def test_worse_than_naive_is_told_and_naive_is_used() -> None:
    index, reason = verdict(DAILY, 2, Quality(1.1, 1.0, 1.0, 0.9, 10))
    assert (index, reason[:5]) == (0, "on da")
    assert "1.10 of the seasonal naive" in reason
    assert verdict(DAILY, 2, Quality(0.9, 1.0, 1.0, 0.9, 10)) == (2, "")


@pytest.mark.parametrize("weeks", [False, True])
def test_nothing_of_a_fold_is_known_before_it(weeks: bool) -> None:
    """Errors of a fold are the same whatever comes in rows after its targets."""
    rows = waves(21).reshape(21, SLOTS)
    methods, first = (WEEKLY, 14) if weeks else (DAILY, 7)
    known = np.ones(rows.shape, dtype=bool)
    one = fit(methods, rows, rows, known, first)
    changed = rows.copy()
    changed[18:] += np.random.default_rng(1).normal(size=(3, SLOTS)) * 5
    two = fit(methods, changed, changed, known, first)
    before = 17 - first
    np.testing.assert_array_equal(one.errors[:, :before], two.errors[:, :before])
    np.testing.assert_array_equal(one.coming[:, : before + 2], two.coming[:, : before + 2])
    assert not np.array_equal(one.errors[:, before + 1], two.errors[:, before + 1])


@pytest.mark.parametrize("weekly_rows", [False, True])
def test_nothing_of_a_score_is_known_before_it(weekly_rows: bool) -> None:
    rows = waves(21).reshape(21, SLOTS)
    changed = rows.copy()
    changed[18, 100:] += 3
    known = np.ones(rows.shape, dtype=bool)
    scores = []
    for each in (rows, changed):
        start, found = judge_history(baseline(each, 14, weekly_rows), known)
        scores.append(found.score)
    place = (18 - start) * SLOTS + 100
    np.testing.assert_array_equal(scores[0][:place], scores[1][:place])
    assert scores[1][place] >= 1


def test_days_are_told_from_weeks() -> None:
    rows = waves(21).reshape(21, SLOTS)
    day, week = (baseline(rows, 14, each).expected for each in (False, True))
    np.testing.assert_array_equal(better_baseline(rows, 14).expected, day)
    rows[5::7] += 5
    rows[6::7] -= 3
    week = baseline(rows, 14, True).expected
    np.testing.assert_array_equal(better_baseline(rows, 14).expected, week)


def test_gaps_are_filled_from_the_day_before_or_the_first_that_is_known() -> None:
    nan = np.nan
    rows = np.array([[nan, 1.0, nan], [2.0, nan, nan], [nan, nan, 9.0]])
    expected = np.array([[2.0, 1.0, 9.0], [2.0, 1.0, 9.0], [2.0, 1.0, 9.0]])
    np.testing.assert_array_equal(filled(rows), expected)
    rows[2, 2] = nan
    np.testing.assert_array_equal(filled(rows)[:, 2], np.full(3, 1.5))


def test_rates_of_counters_are_never_negative() -> None:
    for seed in range(20):
        assert np.nanmin(weekly(seed).history) >= 0


@pytest.mark.parametrize("generate", [daily, weekly])
def test_generated_series_are_the_same_every_time(generate: Callable[[int], Generated]) -> None:
    one, two, other = generate(3), generate(3), generate(4)
    np.testing.assert_array_equal(one.history, two.history)
    assert not np.array_equal(one.history, other.history, equal_nan=True)
    assert one.events == two.events
    assert len(one.future) == len(one.oracle) == DAY_SECONDS // one.step_seconds
    assert np.isfinite(one.future).all()
    assert np.isfinite(one.oracle).all()


@pytest.mark.parametrize(
    ("generate", "most", "first_day", "precise"), [(daily, 0.7, 12, 0.9), (weekly, 1, 26, 0.6)]
)
def test_figures_hold_on_a_sample(
    generate: Callable[[int], Generated], most: float, first_day: int, precise: float
) -> None:
    """The benchmark has them all; here a few of its series, so that a mistake is seen at once."""
    tally = Tally()
    for seed in range(1000, 1025):
        series = generate(seed)
        foretell(series, tally)
        watch(series, first_day, tally)
    ours, naive = (np.mean(tally.errors[name], axis=0)[1] for name in ("ours", "seasonal naive"))
    assert ours / naive < most
    assert np.mean(tally.ratios) < most
    assert 0.82 <= np.mean(tally.coverage, axis=0)[0] <= 0.97
    assert tally.counts["flags near"] >= precise * tally.counts["flags"]


def test_autoregressive_noise_is_what_it_says() -> None:
    noise = autoregressive(np.random.default_rng(1), 50_000, 20)
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert np.mean(noise[20:] * noise[:-20]) == pytest.approx(np.exp(-1), abs=0.05)


def test_a_time_of_day_that_is_noisier_has_a_wider_band() -> None:
    values = waves(14, noise=0.0)
    evening = np.arange(len(values)) % SLOTS > SLOTS // 2
    values += np.random.default_rng(1).normal(size=len(values)) * np.where(evening, 0.5, 0.05)
    prepared = history(values)
    made = forecast(train(prepared), prepared)
    assert isinstance(made, Forecast)
    width = made.upper - made.lower
    assert width[SLOTS // 2 + 20 : -20].mean() > 2 * width[20 : SLOTS // 2 - 20].mean()


def test_a_season_need_not_be_a_day() -> None:
    """An hour of slots of a minute, say of a batch job."""
    settings = Settings(60, season_seconds=7200)
    at = START + 60.0 * np.arange(14 * 120)
    wave = np.sin(2 * np.pi * at / 7200)
    noisy = wave + 0.1 * np.random.default_rng(1).normal(size=len(at))
    prepared = prepare(at, noisy, settings, float(at[-1] + 60))
    assert isinstance(prepared, Series)
    made = forecast(train(prepared), prepared)
    assert isinstance(made, Forecast)
    assert np.abs(made.values - wave[:120]).mean() < 0.05
