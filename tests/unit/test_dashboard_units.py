"""Numbers in the preview of dashboards."""

from __future__ import annotations

import math

import pytest

from tools.dashboards.units import shown


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (math.nan, "s", None, "-"),
        (12.345, "percent", None, "12.3%"),
        (12.345, "percent", 0, "12%"),
        (0, "s", 0, "0 s"),
        (0.0042, "s", None, "4.2 ms"),
        (90, "s", 1, "1.5 min"),
        (38, "m", None, "38 min"),
        (30, "h", 1, "1.2 d"),
        (20, "d", 0, "20 days"),
        (3650, "d", 0, "10.0 years"),
        (1536, "bytes", 1, "1.5 KiB"),
        (2500, "bps", 1, "2.5 kb/s"),
        (0.25, "reqps", None, "0.25 req/s"),
        (20000, "short", None, "20 K"),
        (404, "none", None, "404"),
        (7, "parsec", None, "7 parsec"),
    ],
)
def test_a_number_has_its_unit(value: float, unit: str, decimals: int | None, text: str) -> None:
    assert shown(value, unit, decimals) == text
