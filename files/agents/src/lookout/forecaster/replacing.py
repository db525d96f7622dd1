"""Whether a new model takes the place of the one in use."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lookout.forecaster.model import Model, forecast
from lookout.forecaster.series import Refused, Series, length

# Both models forecast from so many moments of the last season.
MOMENTS = 8
# By so much errors differ from one night to the next when nothing changed.
WORSE = 1.05


@dataclass(frozen=True)
class Verdict:
    """Whether the new model is taken, and why, for the log."""

    replaces: bool
    reason: str


def better(old: Model | None, new: Model | Refused, recent: Series) -> Verdict:
    """Compare both on the same newest values, three seasons of them or more.

    The new one has seen them in training, which favours it a little: an old model is kept only when
    it is clearly better. Without an old one, or with one for another step, any new one is taken.
    """
    if isinstance(new, Refused):
        return Verdict(False, f"training gave no model: {new.reason}")
    if old is None:
        return Verdict(True, "it is the first")
    if old.settings.step_seconds != new.settings.step_seconds or (
        old.settings.season_seconds != new.settings.season_seconds
    ):
        return Verdict(True, "the old one is for another step or season")
    age = length((new.next_slot - old.next_slot) * new.settings.step_seconds)
    errors = [error_on(model, recent) for model in (old, new)]
    if np.isnan(errors[1]):
        return Verdict(False, "the new one could not be applied to the newest values")
    if errors[0] * WORSE < errors[1]:
        return Verdict(
            False,
            f"on the newest values its mean error is {errors[1]:.3g}, that of the model in use, "
            f"{age} older, {errors[0]:.3g}",
        )
    return Verdict(True, f"its mean error is {errors[1]:.3g}, that of the old one {errors[0]:.3g}")


def error_on(model: Model, recent: Series) -> float:
    """Mean absolute error of forecasts made within the last season; NaN if there is none."""
    slots = model.settings.slots
    errors = []
    for back in range(slots // MOMENTS, slots + 1, slots // MOMENTS):
        seen = replace(recent, values=recent.values[:-back])
        made = forecast(model, seen)
        if not isinstance(made, Refused):
            errors.append(np.abs(recent.values[-back:] - made.values[:back]))
    flat = np.concatenate(errors) if errors else np.empty(0)
    known = flat[np.isfinite(flat)]
    return float(known.mean()) if len(known) else float("nan")
