"""Model files, and which model replaces which."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forecast_stage import SLOTS, history, newest, waves
from hypothesis import given, settings
from hypothesis import strategies as st

from lookout.forecaster.model import Forecast, Model, forecast
from lookout.forecaster.replacing import better, error_on
from lookout.forecaster.series import Refused, Settings
from lookout.forecaster.store import (
    MOST_BYTES,
    ModelError,
    canonical,
    decode,
    digest,
    encode,
    load,
    save,
)
from lookout.forecaster.training import train

NAME = 'disk{instance="a"}'
VALUES = waves(21, slope=0.02)
MODEL = train(history(VALUES))
RAW = encode(NAME, MODEL)


def reworked(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The document with a changed model and the hash that belongs to it."""
    document = json.loads(RAW)
    change(document["model"])
    document["sha256"] = digest(canonical(document["model"]))
    return json.dumps(document).encode()


def test_a_loaded_model_is_the_saved_one(tmp_path: Path) -> None:
    path = tmp_path / "disk.json"
    save(path, NAME, MODEL)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_size < 100_000
    loaded = load(path, NAME)
    for field in fields(Model):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(MODEL, field.name))
    one, two = forecast(MODEL, newest(VALUES)), forecast(loaded, newest(VALUES))
    assert isinstance(one, Forecast)
    assert isinstance(two, Forecast)
    for name in ("values", "lower", "upper"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1), st.integers(7, 21), st.floats(-1e50, 1e50), st.floats(1e-30, 1e30)
)
def test_any_model_survives_the_way_through_a_file(
    seed: int, days: int, offset: float, scale: float
) -> None:
    model = train(history(waves(days, seed) * scale + offset))
    loaded = decode(encode(NAME, model), NAME)
    assert encode(NAME, loaded) == encode(NAME, model)
    np.testing.assert_array_equal(loaded.profile, model.profile)


def test_a_file_from_before_there_was_a_floor_is_read_as_it_was_meant() -> None:
    document = json.loads(RAW)
    del document["model"]["floor"]
    document |= {"version": 1, "sha256": digest(canonical(document["model"]))}
    assert encode(NAME, decode(json.dumps(document).encode(), NAME)) == RAW
    assert MODEL.floor == 0


def test_a_model_of_logarithms_survives_the_way_through_a_file() -> None:
    model = train(history(np.exp(waves(14) - 8)))
    assert model.floor > 0
    assert encode(NAME, decode(encode(NAME, model), NAME)) == encode(NAME, model)


def test_bounds_that_are_none_come_back(tmp_path: Path) -> None:
    bounded = replace(MODEL, settings=replace(MODEL.settings, upper=100.0))
    save(tmp_path / "m.json", NAME, bounded)
    assert load(tmp_path / "m.json", NAME).settings == Settings(300, upper=100.0)
    assert decode(RAW, NAME).settings == Settings(300)


@pytest.mark.parametrize("size", [0, 1, 20, 200, len(RAW) // 2, len(RAW) - 3])
def test_a_truncated_file_is_said_to_be_one(tmp_path: Path, size: int) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(RAW[:size])
    with pytest.raises(ModelError, match=r"m\.json: is truncated or damaged .*: remove it, and"):
        load(path, NAME)


@settings(max_examples=200)
@given(st.integers(0, len(RAW) - 2), st.integers(1, 255))
def test_a_changed_byte_never_gives_another_model(place: int, change: int) -> None:
    raw = bytearray(RAW)
    raw[place] ^= change
    try:
        loaded = decode(bytes(raw), NAME)
    except ModelError:
        return
    assert encode(NAME, loaded) == RAW  # a space became a tab


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_rubbish_is_refused(raw: bytes) -> None:
    with pytest.raises(ModelError):
        decode(raw, NAME)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"[]", "is no model of the forecaster"),
        (b'{"format": "lookout-forecast-model", "version": 3}', "has version 3, this program"),
        (RAW.replace(b'"slope":', b'"slope":1'), "does not match its hash"),
        (RAW.replace(b'"slope":', b'"slope":NaN,"x":'), "it holds NaN"),
        (b"[" * 100_000, "is truncated or damaged"),
        (reworked(lambda model: model.update(slope=[])), "holds what no model holds"),
        (reworked(lambda model: model.update(slope="1")), "holds what no model holds"),
        (reworked(lambda model: model.update(method="pickle")), "there is no method 'pickle'"),
        (reworked(lambda model: model["profile"].pop()), "profile must be"),
        (reworked(lambda model: model.update(noise=[[1.0]] * 24)), "noise must be"),
        (reworked(lambda model: model.update(noise=["a"] * 24)), "holds what no model holds"),
        (reworked(lambda model: model.pop("usual")), "holds what no model holds"),
        (reworked(lambda model: model.update(more=1)), "holds what no model holds"),
        (reworked(lambda model: model["settings"].update(step_seconds=0)), "at least 1"),
        (RAW.replace(b'"slope":', b'"slope":1e999,"x":'), "it holds 1e999"),
        (reworked(lambda model: model.update(noise=[10**400] * 24)), "holds what no model holds"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(raw: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        decode(raw, NAME)


def test_a_model_of_another_series_is_refused() -> None:
    with pytest.raises(ModelError, match="is of series 'disk"):
        decode(RAW, "memory")


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ModelError, match="has more than"):
        load(path, NAME)


def test_numbers_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path / "m.json", NAME, replace(MODEL, slope=float("nan")))
    assert list(tmp_path.iterdir()) == []


def spoilt(model: Model) -> Model:
    return replace(model, profile=model.profile + 3, near=0 * model.near, far=0 * model.far)


def test_a_worse_model_does_not_replace_a_good_one() -> None:
    verdict = better(MODEL, spoilt(MODEL), history(VALUES))
    assert not verdict.replaces
    assert "that of the model in use" in verdict.reason


def test_a_better_model_replaces_a_bad_one() -> None:
    assert better(spoilt(MODEL), MODEL, history(VALUES)).replaces


def test_a_fresh_model_replaces_one_of_the_same_quality() -> None:
    old = train(history(VALUES[: 20 * SLOTS]))
    assert better(old, MODEL, history(VALUES)).replaces


def test_a_failed_training_replaces_nothing() -> None:
    verdict = better(MODEL, Refused("its history is short"), history(VALUES))
    assert not verdict.replaces
    assert verdict.reason == "training gave no model: its history is short"
    assert not better(None, Refused("no"), history(VALUES)).replaces


def test_the_first_model_is_taken_and_one_for_another_step() -> None:
    assert better(None, MODEL, history(VALUES)).replaces
    other = replace(MODEL, settings=Settings(600))
    assert better(other, MODEL, history(VALUES)).replaces


def test_a_model_that_cannot_be_applied_is_not_taken() -> None:
    gone = VALUES.copy()
    gone[-2 * SLOTS :] = np.nan
    gone[-1] = 1
    recent = newest(gone, seasons=3)
    assert np.isnan(error_on(MODEL, recent))
    assert not better(MODEL, MODEL, recent).replaces
