"""Samples to a grid, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_stage import DAY, SETTINGS, SLOTS, START, STEP, at, end, history, refused, waves
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lookout.forecaster.series import (
    Floats,
    Refused,
    Series,
    Settings,
    length,
    on_grid,
    prepare,
)


def test_samples_keep_their_slots_whatever_their_order() -> None:
    values = waves(8)
    order = np.random.default_rng(1).permutation(len(values))
    # Scrapes are never exactly on the grid.
    made = prepare(at(values)[order] + 17, values[order], SETTINGS, end(values))
    assert isinstance(made, Series)
    np.testing.assert_array_equal(made.values, values)
    assert made.first_slot * STEP == START
    assert made.end == end(values)


def test_samples_of_one_slot_are_averaged() -> None:
    made = on_grid([START, START + 60, START + STEP], [1.0, 3.0, 7.0], SETTINGS, START + 600, 10)
    assert isinstance(made, Series)
    np.testing.assert_array_equal(made.values, [2.0, 7.0])


def test_a_slot_without_a_sample_is_a_gap() -> None:
    values = waves(8)
    values[100:130] = np.nan
    made = history(values)
    assert np.isnan(made.values[100:130]).all()
    assert np.isfinite(np.delete(made.values, np.s_[100:130])).all()


def test_what_is_no_number_is_dropped_and_said() -> None:
    values = waves(8)
    values[[3, 40, 50]] = np.nan, np.inf, 1e200
    made = history(values)
    assert np.isnan(made.values[[3, 40, 50]]).all()
    assert made.notes == ("3 samples were NaN or infinite and were left out",)


def test_values_outside_the_bounds_are_kept_and_said() -> None:
    values = waves(8)
    values[10] = 101
    made = history(values, lower=0, upper=100)
    assert made.values[10] == 101
    assert made.notes == ("1 samples are outside 0 to 100",)


def test_no_more_than_28_days_are_used_and_whole_days() -> None:
    assert len(history(waves(40)).values) == 28 * SLOTS
    assert len(history(waves(9)[: 8 * SLOTS + 40]).values) == 8 * SLOTS


def test_a_first_day_that_begins_with_a_gap_counts() -> None:
    values = waves(7)
    values[:30] = np.nan
    made = history(values)
    assert len(made.values) == 7 * SLOTS
    assert made.first_slot * STEP == START


def test_a_raw_counter_is_said_to_be_one() -> None:
    counter = np.cumsum(np.abs(waves(8)))
    counter[1000:] -= counter[1000]
    assert "query its rate()" in history(counter).notes[0]
    disk = np.cumsum(np.abs(waves(8)))  # it only rises too
    assert history(disk).notes == ()
    disk[1000:] -= disk[1000] / 3
    assert history(disk).notes == ()


def test_short_histories_are_refused() -> None:
    assert refused(waves(6)) == (
        "its history of 6 days is shorter than the 7 days needed: 7 seasons of 24 h"
    )


def test_sparse_histories_are_refused() -> None:
    values = waves(8)
    values[np.arange(len(values)) % 2 == 1] = np.nan
    assert refused(values).startswith("only 50% of its slots of 300 s have a value, 60% are needed")


def test_a_series_that_ended_is_refused() -> None:
    reason = refused(waves(10), now=START + 10 * DAY + 5 * 3600)
    assert reason == "its newest sample is 5 h old: does the query still return it?"


def test_a_query_without_samples_is_refused() -> None:
    assert refused(np.array([])) == "the query returned no usable sample"
    assert refused(np.full(9, np.nan)).endswith("all 9 are NaN or infinite")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"step_seconds": 0}, "at least 1"),
        ({"step_seconds": 7000}, "multiple of 24 steps of 7000 s, got 86400"),
        ({"step_seconds": 300, "lower": 2, "upper": 1}, "lower must be below upper"),
    ],
)
def test_settings_that_make_no_grid_are_refused(asked: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**asked)


def test_times_and_values_must_be_alike() -> None:
    with pytest.raises(ValueError, match="must be alike"):
        on_grid([1.0, 2.0], [1.0], SETTINGS, START, 10)


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90 s"), (7200, "2 h"), (100_000, "27.8 h"), (216_000, "2.5 days")]
)
def test_lengths_are_readable(seconds: float, text: str) -> None:
    assert length(seconds) == text


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(
    arrays(float, 60, elements=anything),
    arrays(float, 60, elements=st.one_of(anything, st.floats(START, START + 2 * DAY))),
)
def test_any_samples_give_a_grid_of_finite_values_or_a_reason(
    values: Floats, times: Floats
) -> None:
    made = on_grid(times, values, SETTINGS, START + DAY, SLOTS)
    if isinstance(made, Refused):
        assert made.reason
        return
    assert 1 <= len(made.values) <= SLOTS
    assert made.end == START + DAY
    known = made.values[np.isfinite(made.values)]
    usable = values[np.isfinite(values) & (np.abs(values) <= 1e60)]
    # A mean of samples of one slot may differ in its last digit.
    assert len(known)
    assert known.max() <= usable.max() + 1e-9 * abs(usable.max())
    assert known.min() >= usable.min() - 1e-9 * abs(usable.min())
