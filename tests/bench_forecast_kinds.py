"""The kinds of series that the forecaster's benchmark runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests import forecast_recorded
from tests.forecast_real import REAL, disturbed, folder, real, windows
from tests.forecast_series import MEASURED, Generated, daily, weekly


@dataclass(frozen=True)
class Kind:
    """Of series: what makes one by its seed, and the one in which anomalies are looked for."""

    forecast: Callable[[int], Generated]
    watched: Callable[[int], Generated]
    first_day: int
    count: Callable[[], int] = MEASURED.__len__
    there: Callable[[], bool] = lambda: True
    ahead: tuple[str, str] = ("6 h", "24 h")

    def seeds(self, most: int) -> range:
        """Which ones there are, up to a number."""
        return range(min(most, self.count()))


def of_package(name: str) -> Kind:
    """Real series that may be installed or not."""
    count, there = (lambda: len(windows(name))), (lambda: folder() is not None)
    return Kind(partial(real, name), partial(disturbed, name), 21, count, there)


KINDS = {
    "generator A": Kind(daily, daily, 10),
    "generator B": Kind(weekly, weekly, 21),
    **{name: of_package(name) for name in REAL},
    "recorded": Kind(
        forecast_recorded.recorded,
        forecast_recorded.recorded,
        7,
        lambda: len(forecast_recorded.windows()),
        ahead=("30 s", "2 min"),
    ),
}
