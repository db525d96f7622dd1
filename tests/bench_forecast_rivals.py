"""What the forecaster is compared with: the simple ones, Prometheus' and statsforecast's."""

from __future__ import annotations

import numpy as np

from lookout.forecaster.series import Floats


def known(history: Floats, day: int) -> Floats:
    """The history with each gap as the day before."""
    out = history.copy()
    for place in np.flatnonzero(np.isnan(out)):
        out[place] = out[place - day] if place >= day else np.nanmedian(history)
    return out


def predict_linear(history: Floats, day: int) -> Floats:
    """Prometheus' predict_linear(x[6h], ...): a least-squares line through six hours."""
    values = history[-day // 4 :]
    at = np.arange(-len(values) + 1, 1)
    here = np.isfinite(values)
    slope, start = np.polyfit(at[here], values[here], 1)
    return np.asarray(start + slope * np.arange(1, day + 1))


def mstl(history: Floats, day: int) -> Floats:
    """statsforecast's, with its own choice of a trend model."""
    from statsforecast.models import MSTL  # noqa: PLC0415 - it is not always there

    seasons = [day, 7 * day] if len(history) >= 21 * day else [day]
    model = MSTL(season_length=seasons).fit(known(history, day))
    return np.asarray(model.predict(h=day)["mean"])
