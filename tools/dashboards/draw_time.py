"""Draw what there was over time: lines, bands, states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from textwrap import shorten
from typing import Any

from matplotlib import dates
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from tools.dashboards.asking import Answers
from tools.dashboards.parts import (
    Panel,
    colour,
    colours_of,
    defaults_of,
    moment,
    own_of,
    series_of,
    word_of,
)
from tools.dashboards.units import shown

LEGEND_ROWS = 12
# What is written below the axis of time, by the days that it is shorter than
CLOCKS = ((1.1, "%H:%M"), (7, "%a %H:%M"))


def _line(axes: Any, name: str, values: Mapping[float, float], tint: Any, own: Any) -> None:
    """One series: a line, a dashed one, or points."""
    dashed = own.get("custom.lineStyle", {}).get("fill") == "dash"
    style: dict[str, Any] = {"linestyle": "--"} if dashed else {}
    if own.get("custom.drawStyle") == "points":
        style = {"linestyle": "", "marker": "o", "markersize": 4}
    when = [moment(t) for t in values]
    axes.plot(when, list(values.values()), label=name, color=tint, **style)


def _band(axes: Any, lower: Mapping[float, float], upper: Mapping[float, float], tint: Any) -> None:
    """What is between two lines."""
    both = sorted(set(lower) & set(upper))
    low, high = [lower[t] for t in both], [upper[t] for t in both]
    axes.fill_between([moment(t) for t in both], low, high, color=tint, alpha=0.12, linewidth=0)


def _clock(axes: Any) -> None:
    """Hours below the axis of time, or days where they would say the same again and again."""
    first, last = axes.get_xlim()
    written = next((form for days, form in CLOCKS if last - first < days), "%d %b")
    axes.xaxis.set_major_formatter(dates.DateFormatter(written))


def lines(axes: Any, panel: Panel, answers: Answers) -> None:
    """A graph: lines, or areas upon each other, with limits and a legend."""
    config, fixed = defaults_of(panel), colours_of(panel)
    unit = config.get("unit", "")
    named = series_of(panel, answers)
    palette = plt.get_cmap("tab20")
    points = {name: {t: float(v) for t, v in s["values"]} for name, s in named}
    colours = [fixed.get(name, palette(i % 20)) for i, name in enumerate(points)]
    if config["custom"].get("stacking", {}).get("mode") == "normal":
        moments = sorted({t for values in points.values() for t in values})
        rows = [[values.get(t, 0.0) for t in moments] for values in points.values()]
        rows = [[0.0 if math.isnan(v) else v for v in row] for row in rows]
        when = [moment(t) for t in moments]
        axes.stackplot(when, *rows, labels=list(points), colors=colours, alpha=0.7)
    else:
        special = own_of(panel)
        for (name, values), one in zip(points.items(), colours, strict=True):
            own = special.get(name, {})
            _line(axes, name, values, one, own)
            if own.get("custom.fillBelowTo") in points:
                _band(axes, points[own["custom.fillBelowTo"]], values, one)
    for step in config.get("thresholds", {}).get("steps", []):
        if step["value"] is not None:
            worse = step["color"] if step["color"] != "green" else "orange"
            axes.axhline(step["value"], color=colour(worse), linestyle="--", linewidth=1)
    if "min" in config:
        # A line that hardly moves would lie upon the frame.
        top = config.get("max") or axes.get_ylim()[1] * 1.05
        axes.set_ylim(bottom=config["min"], top=top)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    axes.tick_params(labelsize=7)
    _clock(axes)
    axes.grid(alpha=0.3)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, fontsize=6, frameon=False,
        handles=axes.get_legend_handles_labels()[0][:LEGEND_ROWS],
    )  # fmt: skip


def states(axes: Any, panel: Panel, answers: Answers) -> None:
    """What was when, a bar of colours for each series."""
    config = defaults_of(panel)
    named = series_of(panel, answers)
    for y, (_, series) in enumerate(named):
        times = [float(t) for t, _ in series["values"]]
        step = min((b - a for a, b in pairwise(times)), default=60)
        for t, value in series["values"]:
            _, tint = word_of(config, float(value)) or ("", "#cccccc")
            axes.barh(y, step / 86400, left=dates.date2num(moment(t)), color=tint, height=0.8)
    axes.set_yticks(range(len(named)), [shorten(n or "?", 40) for n, _ in named], fontsize=7)
    axes.xaxis_date()
    _clock(axes)
    axes.tick_params(axis="x", labelsize=7)
