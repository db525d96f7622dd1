"""Numbers as Grafana would write them, as far as our dashboards use its units."""

from __future__ import annotations

import math
import time

# unit -> its name, the step from one prefix to the next, the prefixes
_THOUSANDS = (" ", " k", " M", " G", " T")
_STEPS = {
    "bytes": ("B", 1024, (" ", " Ki", " Mi", " Gi", " Ti")),
    "Bps": ("B/s", 1000, _THOUSANDS),
    "bps": ("b/s", 1000, _THOUSANDS),
    "short": ("", 1000, ("", " K", " Mil", " Bil", " Tri")),
    "none": ("", math.inf, ("",)),
    "reqps": ("req/s", 1000, _THOUSANDS),
    "ops": ("ops/s", 1000, _THOUSANDS),
    "cps": ("c/s", 1000, _THOUSANDS),
}
_SECONDS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (0, "µs"))
_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_YEAR_DAYS = 365


def _plain(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004


def _duration(seconds: float, decimals: int | None) -> str:
    for size, name in _SECONDS:
        if abs(seconds) >= size:
            if seconds == 0:
                return "0 s"
            return f"{_plain(seconds / (size or 1e-6), decimals)} {name}"
    return str(seconds)


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value with its unit; `-` for what is no number."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        value, unit = 100 * value, "percent"
    if unit == "percent":
        return f"{_plain(value, decimals)}%"
    if unit == "dateTimeFromNow":
        return f"{_duration(time.time() - value / 1000, 0)} ago"
    if unit == "d":
        years = value > _YEAR_DAYS
        return f"{value / _YEAR_DAYS:.1f} years" if years else f"{_plain(value, decimals)} days"
    if unit in _OF:
        return _duration(value * _OF[unit], decimals)
    name, step, prefixes = _STEPS.get(unit, (unit, math.inf, (" ",)))
    power = 0
    while abs(value) >= step and power < len(prefixes) - 1:
        value, power = value / step, power + 1
    return f"{_plain(value, decimals)}{prefixes[power]}{name}"
