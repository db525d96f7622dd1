"""Draw a dashboard's panels with what Prometheus answered: no Grafana, but the same grid.

It shows what is there and what reads badly, not how Grafana's own pixels fall.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tools.dashboards.asking import Answers
from tools.dashboards.draw_time import lines, states
from tools.dashboards.parts import (
    COLOURS,
    Panel,
    colour,
    defaults_of,
    series_of,
    threshold_colour,
    word_of,
)
from tools.dashboards.units import shown

EMPTY = "#ffd5d5"
# Share of a panel's width that is left free for names
MARGIN = {"timeseries": 0.1, "stat": 0.02, "bargauge": 0.35, "table": 0.02, "state-timeline": 0.18}


def _numbers(axes: Any, panel: Panel, answers: Answers) -> None:
    config = defaults_of(panel)
    axes.axis("off")
    named = series_of(panel, answers)
    for index, (name, series) in enumerate(named):
        value = float(series["value"][1])
        word, tint = word_of(config, value) or (
            shown(value, config["unit"], config.get("decimals")),
            threshold_colour(config, value),
        )
        x = (index + 0.5) / len(named)
        axes.text(x, 0.45, word, fontsize=18, color=tint, ha="center", va="center")
        if len(named) > 1:
            axes.text(x, 0.1, name, fontsize=7, ha="center")


def _bars(axes: Any, panel: Panel, answers: Answers) -> None:
    config = defaults_of(panel)
    found = [(name, float(series["value"][1])) for name, series in series_of(panel, answers)]
    names = [shorten(name or "?", 40) for name, _ in found]
    values = [0.0 if math.isnan(value) else value for _, value in found]
    axes.barh(range(len(names)), values, color=[threshold_colour(config, v) for v in values])
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
    mapped = word_of(config, value)
    tint = threshold_colour(config, value) if "thresholds" in config else "black"
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


KINDS = {
    "timeseries": lines, "stat": _numbers, "bargauge": _bars, "table": _table,
    "state-timeline": states,
}  # fmt: skip

OVER_TIME = ("timeseries", "state-timeline")


def draw(
    dashboard: Mapping[str, Any], answers: Mapping[int, Answers], file: Path, minutes: int
) -> list[str]:
    """Write the picture of a dashboard; return the titles of the panels that have no series.

    Args:
        answers: number of the panel -> what its queries returned.
        minutes: how far it looks back.
    """
    now = datetime.now(UTC)
    span = (now - timedelta(minutes=minutes), now)
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
            if panel["type"] in OVER_TIME:
                axes.set_xlim(*span)
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
