"""What a stored panel says of how it looks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tools.dashboards.asking import Answers

Panel = Mapping[str, Any]
COLOURS = {"green": "#56a64b", "orange": "#ff780a", "red": "#e02f44", "blue": "#3274d9",
           "purple": "#8f3bb8"}  # fmt: skip


def colour(name: str) -> str:
    """Grafana's colours by name, as those of the picture."""
    return COLOURS.get(name, name)


def legend(template: str, labels: Mapping[str, str]) -> str:
    """What a series is called."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), template)


def defaults_of(panel: Panel) -> Mapping[str, Any]:
    """How all of its series look."""
    found: Mapping[str, Any] = panel["fieldConfig"]["defaults"]
    return found


def word_of(config: Mapping[str, Any], value: float) -> tuple[str, str] | None:
    """What stands in place of a number, and its colour; None: the number itself."""
    for mapping in config.get("mappings", []):
        options = mapping["options"]
        if f"{value:g}" in options:
            found = options[f"{value:g}"]
            return found["text"], colour(found["color"])
    return None


def threshold_colour(config: Mapping[str, Any], value: float) -> str:
    """The colour of a number."""
    found = config.get("color", {}).get("fixedColor", "#333333")
    for step in config.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return colour(found)


def colours_of(panel: Panel) -> dict[str, str]:
    """The colours that belong to names."""
    return {
        override["matcher"]["options"]: colour(prop["value"]["fixedColor"])
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "color"
    }


def own_of(panel: Panel) -> dict[str, dict[str, Any]]:
    """What is drawn in its own way, by its name."""
    return {
        override["matcher"]["options"]: {one["id"]: one["value"] for one in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }


def series_of(panel: Panel, answers: Answers) -> list[tuple[str, dict[str, Any]]]:
    """All series that were returned, with their names."""
    return [
        (legend(target.get("legendFormat", ""), series["metric"]), series)
        for target, found in zip(panel["targets"], answers, strict=True)
        for series in found
    ]


def moment(second: float) -> datetime:
    """A time stamp of Prometheus."""
    return datetime.fromtimestamp(second, UTC)
