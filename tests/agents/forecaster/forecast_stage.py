"""Histories for the forecaster's tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookout.forecaster.series import Floats, Refused, Series, Settings, on_grid, prepare

STEP = 300
DAY = 86_400
SLOTS = DAY // STEP
START = 1_760_313_600
SETTINGS = Settings(STEP)


def at(values: Floats) -> Floats:
    """Unix seconds of samples in a row from START on."""
    return START + STEP * np.arange(len(values), dtype=float)


def end(values: Floats) -> float:
    return float(START + STEP * len(values))


def waves(days: int, seed: int = 1, noise: float = 0.1, slope: float = 0.0) -> Floats:
    """A daily wave of amplitude 1 around 10, noise, and so much more each day."""
    time = np.arange(days * SLOTS) / SLOTS
    random = np.random.default_rng(seed)
    wave = 10 + np.sin(2 * np.pi * time) + slope * time
    return np.asarray(wave + noise * random.normal(size=len(time)))


def history(values: Floats, **settings: Any) -> Series:
    """Prepared; fails where it is refused."""
    made = prepare(at(values), values, Settings(STEP, **settings), end(values))
    assert isinstance(made, Series), made
    return made


def newest(values: Floats, seasons: int = 2, **settings: Any) -> Series:
    """The last seasons, as they are read to apply a model."""
    made = on_grid(at(values), values, Settings(STEP, **settings), end(values), seasons * SLOTS)
    assert isinstance(made, Series), made
    return made


def refused(values: Floats, **more: Any) -> str:
    made = prepare(at(values), values, SETTINGS, more.get("now", end(values)))
    assert isinstance(made, Refused), made
    return made.reason
