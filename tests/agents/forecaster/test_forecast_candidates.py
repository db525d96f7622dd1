"""Candidate models: their weights, the low-pass, the memory."""

from __future__ import annotations

import numpy as np
import pytest

from lookout.forecaster.baseline import median_filter
from lookout.forecaster.candidates import (
    NAIVE,
    WEEKLY,
    expectations,
    low_pass,
    weights,
)
from lookout.forecaster.median import median_of
from lookout.forecaster.memory import block_sums, features, horizons, regress, wides
from lookout.forecaster.series import Floats

SLOTS = 96


@pytest.mark.parametrize("method", WEEKLY)
@pytest.mark.parametrize("k", [14, 17, 21, 28])
def test_weights_keep_a_level_and_know_no_future(method: str, k: int) -> None:
    for ahead in range(8):
        shape, level, slope = weights(method, k, ahead)
        assert shape.sum() == pytest.approx(1)
        assert level.sum() == pytest.approx(0, abs=1e-12)
        assert slope.sum() == pytest.approx(0, abs=1e-12)
        assert len(shape) == len(level) == len(slope) == k


@pytest.mark.parametrize("method", ["trend", "fourier", "weekly", "weekly_fourier"])
@pytest.mark.parametrize("ahead", [0, 1, 6, 7, 9])
def test_a_straight_line_goes_on_straight(method: str, ahead: int) -> None:
    shape, level, slope = weights(method, 21, ahead)
    line = 5 + 3 * np.arange(21.0)
    assert shape @ line + level @ line == pytest.approx(5 + 3 * (21 + ahead))
    assert slope @ line == pytest.approx(3)


@pytest.mark.parametrize("method", [name for name in WEEKLY if name.startswith("weekly")])
def test_a_week_that_repeats_is_expected_again(method: str) -> None:
    random = np.random.default_rng(1)
    week = low_pass(random.normal(size=(7, SLOTS)))
    rows = np.tile(week, (4, 1))
    for ahead in range(7):
        expected, slope = expectations((method,), rows, 14, ahead)
        for index, k in enumerate(range(14, 29)):
            np.testing.assert_allclose(expected[0, index], week[(k + ahead) % 7], atol=1e-9)
        np.testing.assert_allclose(slope, 0, atol=1e-12)


@pytest.mark.parametrize("method", ["smoothing", "weekly_level"])
def test_a_shift_of_the_level_is_followed_within_days(method: str) -> None:
    rows = np.zeros((28, SLOTS))
    rows[23:] = 10
    expected = expectations((method,), rows, 28, 0)[0][0, 0]
    assert (np.abs(expected - 10) < 0.5).all()
    slow = expectations(("weekly",), rows, 28, 0)[0][0, 0]
    assert (np.abs(slow - 10) > 0.5).all()


def test_the_fourier_model_is_least_squares_on_harmonics() -> None:
    """The mean through the low-pass is what numpy's solver finds for all rows at once."""
    rows = np.random.default_rng(2).normal(size=(9, SLOTS))
    angle = 2 * np.pi * np.arange(SLOTS)[:, None] * np.arange(1, 9) / SLOTS
    design = np.concatenate([np.ones((SLOTS, 1)), np.sin(angle), np.cos(angle)], axis=1)
    found = np.linalg.lstsq(np.tile(design, (9, 1)), rows.ravel(), rcond=None)[0]
    np.testing.assert_allclose(low_pass(rows.mean(axis=0)), design @ found, atol=1e-9)


def test_naive_forecasts_are_what_was() -> None:
    rows = np.random.default_rng(3).normal(size=(16, SLOTS))
    expected = expectations(NAIVE, rows, 16, 0)[0][:, 0]
    np.testing.assert_array_equal(expected, rows[[15, 9]])


@pytest.mark.parametrize("count", range(1, 9))
def test_medians_of_arrays_are_numpys(count: int) -> None:
    stack = np.random.default_rng(count).normal(size=(count, 5, 7))
    np.testing.assert_array_equal(median_of(list(stack)), np.median(stack, axis=0))


def test_the_median_filter_keeps_an_edge() -> None:
    levels = np.repeat([0.0, 5.0], 10)
    np.testing.assert_array_equal(median_filter(levels, 3), levels)
    np.testing.assert_array_equal(median_filter(levels, 6), np.repeat([0.0, 5.0], [13, 7]))


def weights_of(deviations: Floats) -> tuple[Floats, Floats]:
    return regress(deviations, block_sums(deviations))


def test_memory_of_autoregressive_noise_fades_as_its_coefficient() -> None:
    random = np.random.default_rng(4)
    keep, state, values = 0.97, 0.0, []
    for _ in range(200 * SLOTS):
        state = keep * state + random.normal()
        values.append(state)
    deviations = np.array(values).reshape(1, 200, SLOTS)
    near, far = weights_of(deviations)
    grid = horizons(SLOTS)
    # Both features see the last value through a mean: what they add up to is what counts.
    first = grid <= 12
    np.testing.assert_allclose((near + far)[0, -1, first], keep ** grid[first], atol=0.1)
    assert np.abs(near[0, -1, -1]) < 0.15


def test_memory_weights_know_only_rows_before() -> None:
    random = np.random.default_rng(5)
    one = random.normal(size=(1, 12, SLOTS)).cumsum(axis=2)
    two = one.copy()
    two[:, 8:] = random.normal(size=(1, 4, SLOTS))
    for first, second in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_array_equal(first[:, :8], second[:, :8])
        assert not np.array_equal(first[:, 9], second[:, 9])


def test_features_are_means_of_what_came_last() -> None:
    deviations = np.random.default_rng(6).normal(size=(2, 3, SLOTS))
    at = np.array([3, 11, 99, 3 * SLOTS - 1])  # a block has four slots
    found = features(deviations, block_sums(deviations), at)
    for index, wide in enumerate(wides(SLOTS)):
        for place, slot in enumerate(at):
            mean = deviations.reshape(2, -1)[:, max(0, slot + 1 - wide) : slot + 1].mean(axis=1)
            np.testing.assert_allclose(found[index][:, place], mean)


def test_horizons_end_with_a_season_at_any_step() -> None:
    for slots in (24, 96, 144, 288, 1440):
        grid = horizons(slots)
        assert grid[0] == 1 or slots > 288
        assert grid[-1] == slots
        assert (np.diff(grid) > 0).all()
