"""What a model says of the newest samples of its series, as the API answers it."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite
from typing import Any

import numpy as np

from lookout.forecaster.answers import Samples
from lookout.forecaster.collect import bounds
from lookout.forecaster.crossing import Crossing
from lookout.forecaster.identity import Identity, bound_of
from lookout.forecaster.memory import horizons
from lookout.forecaster.model import Forecast, Model, Seen, forecast, look
from lookout.forecaster.options import SeriesOptions
from lookout.forecaster.prometheus import Prometheus
from lookout.forecaster.series import Refused, Series, Settings, on_grid
from lookout.forecaster.until import until_lower, until_upper

Record = dict[str, Any]

HORIZONS_HOURS = (1, 6, 24)
HOUR_SECONDS = 3600
# Seasons that are read: two for the model, and the one by which a former forecast is judged
SEASONS = 3
# A newest value may be so many steps late before it counts as none.
LATE_STEPS = 3
DIGITS = 7


class Bounds:
    """The bounds of a query's series as they are at a moment: numbers, or asked for."""

    def __init__(self, source: Prometheus, wanted: SeriesOptions, at: int, most: int) -> None:
        """Raises SourceError."""
        self._wanted = wanted
        self._asked = {
            side: bounds(source, query, at, most) if query else []
            for side, query in (("lower", wanted.lower_query), ("upper", wanted.upper_query))
        }

    def settings(self, identity: Identity) -> Settings:
        """How a series is read. Raises ValueError where its bounds make no sense."""
        wanted = self._wanted
        lower = wanted.lower if wanted.lower is not None else self._of("lower", identity)
        upper = wanted.upper if wanted.upper is not None else self._of("upper", identity)
        return Settings(
            wanted.step_seconds,
            wanted.season_seconds,
            -inf if lower is None else lower,
            inf if upper is None else upper,
        )

    def _of(self, side: str, identity: Identity) -> float | None:
        value = bound_of(identity.labels, self._asked[side])
        return value if value is not None and isfinite(value) else None


def head(identity: Identity, wanted: SeriesOptions, state: str, reason: str) -> Record:
    """What is told of every series, with nothing known yet."""
    return {
        **identity.record,
        "title": wanted.title,
        "unit": wanted.unit,
        "state": state,
        "reason": reason,
        "notes": [],
        "skilled": None,
        "measured": None,
        "expected": None,
        "anomaly": None,
        "horizons": [],
        "bounds": [],
        "recent_error_ratio": None,
    }


def apply(
    model: Model, identity: Identity, samples: Samples, wanted: SeriesOptions, end: int
) -> tuple[Record, Record | None, list[Record]]:
    """Summary, path and the last season's anomalies of a series; `end` is its newest moment.

    `model` has the bounds as they are now. A series that it cannot be applied to is refused.
    """
    settings = model.settings
    most = SEASONS * settings.slots
    recent = on_grid(samples.times, samples.values, settings, end + settings.step_seconds, most)
    if isinstance(recent, Refused):
        return head(identity, wanted, "refused", recent.reason), None, []
    seen, coming = look(model, recent), forecast(model, recent)
    if isinstance(seen, Refused) or isinstance(coming, Refused):
        reason = next(one.reason for one in (seen, coming) if isinstance(one, Refused))
        return head(identity, wanted, "refused", reason), None, []
    summary = {
        **head(identity, wanted, "forecast", "" if model.skill else model.reason),
        "notes": [*recent.notes],
        "skilled": model.skill,
        **newest(seen, model),
        "horizons": at_horizons(coming, settings),
        "bounds": crossings(model, recent),
        "recent_error_ratio": recent_error(model, recent),
    }
    return summary, path(identity, wanted, coming, settings), episodes(seen, model, identity)


def rounded(value: float) -> float | None:
    """A number for JSON, of as many digits as are of use."""
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def newest(seen: Seen, model: Model) -> Record:
    """The newest value, what was expected of it, and whether it is an anomaly."""
    late = seen.values[-LATE_STEPS:]
    if not np.isfinite(late).any():
        return {}
    at = len(seen.values) - 1 - int(np.argmax(np.isfinite(late[::-1])))
    flag = bool(seen.scores.flags[at])
    return {
        "measured": {
            "time": (seen.first_slot + at) * model.settings.step_seconds,
            "value": rounded(seen.values[at]),
        },
        "expected": {
            "value": rounded(seen.expected[at]),
            "lower": rounded(seen.lower[at]),
            "upper": rounded(seen.upper[at]),
        },
        "anomaly": {
            "score": rounded(seen.scores.score[at]),
            "anomalous": flag,
            # What is no better than the seasonal naive forecast has no say.
            "raised": flag and model.skill,
        },
    }


def at_horizons(coming: Forecast, settings: Settings) -> list[Record]:
    """The forecast some hours ahead."""
    found = []
    for hours in HORIZONS_HOURS:
        slots = hours * HOUR_SECONDS // settings.step_seconds
        if slots <= len(coming.values):
            value, lower, upper = coming.at(slots)
            found.append({
                "horizon": f"{hours}h",
                "time": (coming.first_slot + slots - 1) * settings.step_seconds,
                "value": rounded(value),
                "lower": rounded(lower),
                "upper": rounded(upper),
            })  # fmt: skip
    return found


def path(identity: Identity, wanted: SeriesOptions, coming: Forecast, settings: Settings) -> Record:
    """The whole forecast, step by step."""
    steps = wanted.horizon_hours * HOUR_SECONDS // settings.step_seconds
    return {
        "id": identity.id,
        "series": identity.series,
        "target": identity.target,
        "unit": wanted.unit,
        "first": coming.first_slot * settings.step_seconds,
        "step_seconds": settings.step_seconds,
        **{
            name: [rounded(value) for value in values[:steps]]
            for name, values in (
                ("values", coming.values), ("lower", coming.lower), ("upper", coming.upper),
            )
        },
    }  # fmt: skip


def crossings(model: Model, recent: Series) -> list[Record]:
    """When the bounds are reached: likely, and at the earliest; None: not in sight."""
    found = []
    for side, bound, until in (
        ("lower", model.settings.lower, until_lower),
        ("upper", model.settings.upper, until_upper),
    ):
        crossing = until(model, recent) if isfinite(bound) else None
        if isinstance(crossing, Crossing):
            found.append({
                "bound": side,
                "value": rounded(bound),
                "seconds": rounded(crossing.likely),
                "earliest_seconds": rounded(crossing.earliest),
            })  # fmt: skip
    return found


def recent_error(model: Model, recent: Series) -> float | None:
    """Error of the forecast as it would have been made a season ago, against the backtest's."""
    season = model.settings.slots
    if len(recent.values) <= season or not model.quality.error:
        return None
    former = forecast(model, replace(recent, values=recent.values[:-season]))
    if isinstance(former, Refused):
        return None
    at = horizons(season) - 1
    errors = np.abs(recent.values[-season:] - former.values)[at]
    known = errors[np.isfinite(errors)]
    return rounded(float(known.mean()) / model.quality.error) if len(known) else None


def episodes(seen: Seen, model: Model, identity: Identity) -> list[Record]:
    """Anomalies of the last season, the newest first; one that lasts has no end."""
    flags = seen.scores.flags.astype(int)
    starts = np.flatnonzero(np.diff(np.concatenate([[0], flags])) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([flags, [0]])) == -1)
    step, found = model.settings.step_seconds, []
    for start, end in zip(map(int, starts), map(int, ends), strict=True):
        at = start + int(np.nanargmax(seen.scores.score[start : end + 1]))
        found.append({
            "id": identity.id,
            "series": identity.series,
            "target": identity.target,
            "raised": model.skill,
            "started": (seen.first_slot + start) * step,
            "ended": None if end == len(flags) - 1 else (seen.first_slot + end + 1) * step,
            "score": rounded(seen.scores.score[at]),
            "measured": rounded(seen.values[at]),
            "expected": rounded(seen.expected[at]),
            "lower": rounded(seen.lower[at]),
            "upper": rounded(seen.upper[at]),
        })  # fmt: skip
    return found[::-1]
