"""Draw a dashboard's panels with what Prometheus answered: no Grafana, but the same grid.

It shows what is there and what reads badly, not how Grafana's own pixels fall.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import dates
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from tools.dashboards.asking import Answers
from tools.dashboards.units import shown

Panel = Mapping[str, Any]
COLOURS = {"green": "#56a64b", "orange": "#ff780a", "red": "#e02f44", "blue": "#3274d9",
           "purple": "#8f3bb8"}  # fmt: skip
EMPTY = "#ffd5d5"
LEGEND_ROWS = 12
HOURS_UP_TO_DAYS = 2
# Share of a panel's width that is left free for names
MARGIN = {"timeseries": 0.1, "stat": 0.02, "bargauge": 0.35, "table": 0.02, "state-timeline": 0.18}


def colour(name: str) -> str:
    """Grafana's colours by name, as those of the picture."""
    return COLOURS.get(name, name)


def legend(template: str, labels: Mapping[str, str]) -> str:
    """What a series is called."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), template)


def _defaults(panel: Panel) -> Mapping[str, Any]:
    found: Mapping[str, Any] = panel["fieldConfig"]["defaults"]
    return found


def _mapped(config: Mapping[str, Any], value: float) -> tuple[str, str] | None:
    for mapping in config.get("mappings", []):
        options = mapping["options"]
        if f"{value:g}" in options:
            found = options[f"{value:g}"]
            return found["text"], colour(found["color"])
    return None


def _by_threshold(config: Mapping[str, Any], value: float) -> str:
    found = config.get("color", {}).get("fixedColor", "#333333")
    for step in config.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return colour(found)


def _fixed(panel: Panel) -> dict[str, str]:
    return {
        override["matcher"]["options"]: colour(prop["value"]["fixedColor"])
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "color"
    }


def _named(panel: Panel, answers: Answers) -> list[tuple[str, dict[str, Any]]]:
    return [
        (legend(target.get("legendFormat", ""), series["metric"]), series)
        for target, found in zip(panel["targets"], answers, strict=True)
        for series in found
    ]


def _moment(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _clock(axes: Any) -> None:
    """Hours below the axis of time, or days where they would say the same again and again."""
    first, last = axes.get_xlim()
    written = "%H:%M" if last - first < HOURS_UP_TO_DAYS else "%d %b"
    axes.xaxis.set_major_formatter(dates.DateFormatter(written))


def _lines(axes: Any, panel: Panel, answers: Answers) -> None:
    config, fixed = _defaults(panel), _fixed(panel)
    unit = config.get("unit", "")
    named = _named(panel, answers)
    palette = plt.get_cmap("tab20")
    points = {name: {t: float(v) for t, v in s["values"]} for name, s in named}
    colours = [fixed.get(name, palette(i % 20)) for i, name in enumerate(points)]
    if config["custom"].get("stacking", {}).get("mode") == "normal":
        moments = sorted({t for values in points.values() for t in values})
        rows = [[values.get(t, 0.0) for t in moments] for values in points.values()]
        rows = [[0.0 if math.isnan(v) else v for v in row] for row in rows]
        when = [_moment(t) for t in moments]
        axes.stackplot(when, *rows, labels=list(points), colors=colours, alpha=0.7)
    else:
        for (name, values), one in zip(points.items(), colours, strict=True):
            axes.plot([_moment(t) for t in values], list(values.values()), label=name, color=one)
    for step in config.get("thresholds", {}).get("steps", []):
        if step["value"] is not None:
            worse = step["color"] if step["color"] != "green" else "orange"
            axes.axhline(step["value"], color=colour(worse), linestyle="--", linewidth=1)
    # A line that hardly moves would lie upon the frame.
    axes.set_ylim(bottom=0, top=config.get("max") or axes.get_ylim()[1] * 1.05)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    axes.tick_params(labelsize=7)
    _clock(axes)
    axes.grid(alpha=0.3)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, fontsize=6, frameon=False,
        handles=axes.get_legend_handles_labels()[0][:LEGEND_ROWS],
    )  # fmt: skip


def _numbers(axes: Any, panel: Panel, answers: Answers) -> None:
    config = _defaults(panel)
    axes.axis("off")
    named = _named(panel, answers)
    for index, (name, series) in enumerate(named):
        value = float(series["value"][1])
        word, tint = _mapped(config, value) or (
            shown(value, config["unit"], config.get("decimals")),
            _by_threshold(config, value),
        )
        x = (index + 0.5) / len(named)
        axes.text(x, 0.45, word, fontsize=18, color=tint, ha="center", va="center")
        if len(named) > 1:
            axes.text(x, 0.1, name, fontsize=7, ha="center")


def _bars(axes: Any, panel: Panel, answers: Answers) -> None:
    config = _defaults(panel)
    found = [(name, float(series["value"][1])) for name, series in _named(panel, answers)]
    names = [shorten(name or "?", 40) for name, _ in found]
    values = [0.0 if math.isnan(value) else value for _, value in found]
    axes.barh(range(len(names)), values, color=[_by_threshold(config, v) for v in values])
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(left=0, right=config.get("max"))
    axes.set_xticks([])
    for index, value in enumerate(values):
        text = shown(value, config["unit"], config.get("decimals"))
        axes.text(0, index, f"  {text}", va="center", fontsize=7)


def _columns(panel: Panel) -> tuple[list[str], dict[str, str], dict[str, dict[str, Any]]]:
    """The order of a table's fields, what they are called, and what is overridden of each."""
    options = next(part["options"] for part in panel["transformations"] if part["id"] == "organize")
    order = sorted(options["indexByName"], key=options["indexByName"].get)
    overrides = {
        override["matcher"]["options"]: {p["id"]: p["value"] for p in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    return order, options["renameByName"], overrides


def _cell(value: Any, config: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(value, str):
        for mapping in config.get("mappings", []):
            if value in mapping["options"]:
                found = mapping["options"][value]
                return found["text"], colour(found["color"])
        return value, "black"
    mapped = _mapped(config, value)
    tint = _by_threshold(config, value) if "thresholds" in config else "black"
    return mapped or (shown(value, config.get("unit", ""), config.get("decimals")), tint)


def _table(axes: Any, panel: Panel, answers: Answers) -> None:
    order, names, overrides = _columns(panel)
    rows: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for target, found in zip(panel["targets"], answers, strict=True):
        field = "Value" if len(panel["targets"]) == 1 else f"Value #{target['refId']}"
        for series in found:
            key = tuple(sorted(series["metric"].items()))
            row = rows.setdefault(key, dict(series["metric"]))
            row[field] = float(series["value"][1])
    titles = [names.get(field, field) for field in order]
    fields = [(field, overrides.get(names.get(field, field), {})) for field in order]
    cells = [
        [_cell(row.get(field, ""), config) for field, config in fields]
        for row in sorted(rows.values(), key=lambda row: str(row.get(order[0])))
    ]
    axes.axis("off")
    drawn = axes.table(
        cellText=[[text for text, _ in line] for line in cells],
        colLabels=titles, loc="upper center", cellLoc="left",
    )  # fmt: skip
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    for y, line in enumerate(cells, 1):
        for x, (_, tint) in enumerate(line):
            drawn[y, x].get_text().set_color(tint)


def _states(axes: Any, panel: Panel, answers: Answers) -> None:
    config = _defaults(panel)
    named = _named(panel, answers)
    for y, (_, series) in enumerate(named):
        times = [float(t) for t, _ in series["values"]]
        step = min((b - a for a, b in pairwise(times)), default=60)
        for t, value in series["values"]:
            _, tint = _mapped(config, float(value)) or ("", "#cccccc")
            axes.barh(y, step / 86400, left=dates.date2num(_moment(t)), color=tint, height=0.8)
    axes.set_yticks(range(len(named)), [shorten(n or "?", 40) for n, _ in named], fontsize=7)
    axes.xaxis_date()
    _clock(axes)
    axes.tick_params(axis="x", labelsize=7)


KINDS = {
    "timeseries": _lines, "stat": _numbers, "bargauge": _bars, "table": _table,
    "state-timeline": _states,
}  # fmt: skip


def draw(dashboard: Mapping[str, Any], answers: Mapping[int, Answers], file: Path) -> list[str]:
    """Write the picture of a dashboard; return the titles of the panels that have no series.

    Args:
        answers: number of the panel -> what its queries returned.
    """
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    height += 1  # the page's own title
    figure = plt.figure(figsize=(16, max(height * 0.36, 3)))
    figure.text(
        0.01, 1 - 0.6 / height, f"{dashboard['title']}: {dashboard['description']}", fontsize=12
    )
    empty = []
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y = place["x"] / 24, 1 - (1 + place["y"] + place["h"]) / height
        w, h = place["w"] / 24, place["h"] / height
        if panel["type"] == "row":
            figure.text(x + 0.01, y + h / 3, panel["title"], fontsize=11, weight="bold")
            continue
        found = answers[panel["id"]]
        left = MARGIN[panel["type"]]
        axes = figure.add_axes((x + w * left, y + h * 0.2, w * (0.97 - left), h * 0.62))
        axes.set_title(panel["title"], fontsize=9, loc="left")
        if any(found):
            KINDS[panel["type"]](axes, panel, found)
        else:
            empty.append(panel["title"])
            axes.set_facecolor(EMPTY)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no series", ha="center", va="center", color=COLOURS["red"])
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=80)
    plt.close(figure)
    return empty
