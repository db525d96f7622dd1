"""How our panels look: one function for each kind that we use.

A panel needs a title, what it says in a sentence or two, a unit and its queries. Colours, legends,
limits and the names of runbooks follow. Widths are the whole page, a half, a third or a quarter of
it; on a phone Grafana puts all panels below each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboards import limits as known

WHOLE, HALF, THIRD, QUARTER = 24, 12, 8, 6
GREEN, ORANGE, RED, BLUE, PURPLE, GREY = "green", "orange", "red", "blue", "purple", "#8e8e8e"
FIXED = d.FieldColorModeId.FIXED
SEVERITY = {"warning": ORANGE, "critical": RED}
SOURCE = d.DataSourceRef(type_val="prometheus", uid="prometheus")

UP = {"1": ("up", GREEN), "0": ("down", RED)}

# An expression and what a series of it is called.
Query = tuple[str, str]
Values = Mapping[str, tuple[str, str]]


def steps(limits: Sequence[str]) -> list[d.Threshold]:
    """Green where no alert fires, and the colour of the alert's severity beyond its limit."""
    found = [limit for name in limits for limit in known.limits(name)]
    colour: dict[float, str] = {}
    for limit in found:
        colour.setdefault(limit.value, SEVERITY[limit.rule.severity])
    bounds = [None, *sorted(colour)]
    colours = [colour[value] for value in sorted(colour)]
    colours = [*colours, GREEN] if found and not found[0].over else [GREEN, *colours]
    return [d.Threshold(*step) for step in zip(bounds, colours, strict=True)]


def mappings(values: Values) -> list[d.ValueMap]:
    """Words and colours in place of numbers."""
    results = {
        value: d.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(values.items())
    }
    return [d.ValueMap(results)]


def _describe(about: str, limits: Sequence[str], alerts: Sequence[str]) -> str:
    """The sentence, and the runbook of each alert that is about the panel."""
    pages = [limit.rule.runbook for name in limits for limit in known.limits(name)]
    pages += [known.runbook(alert) for alert in alerts]
    return about + "".join(f"\n\nRunbook: `{page}`" for page in dict.fromkeys(pages))


def _targets(queries: Sequence[Query], *, instant: bool, as_table: bool) -> list[Any]:
    made = []
    for letter, (expr, legend) in zip(ascii_uppercase, queries, strict=False):
        query = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(expr.strip())
        query = query.instant() if instant else query.range()
        query = query.format(PromQueryFormat.TABLE) if as_table else query.legend_format(legend)
        made.append(query)
    return made


def panel(
    builder: Any,
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    limits: Sequence[str] = (),
    alerts: Sequence[str] = (),
    instant: bool = True,
    as_table: bool = False,
    width: int,
    height: int,
) -> Any:
    """What all kinds have in common; `limits` and `alerts` lead to the runbooks."""
    return (
        builder.title(title)
        .description(_describe(about, limits, alerts))
        .datasource(SOURCE)
        .targets(_targets(queries, instant=instant, as_table=as_table))
        .span(width)
        .height(height)
    )


def _coloured(made: Any, limits: Sequence[str]) -> Any:
    """A number turns orange or red where its alert fires; without an alert it is blue."""
    if not limits:
        return made.color_scheme(dashboard.FieldColor().mode(FIXED).fixed_color(BLUE))
    return made.thresholds(_absolute(steps(limits)))


def from_one(colour: str) -> list[d.Threshold]:
    """Green at 0, the colour from 1 on."""
    return [d.Threshold(None, GREEN), d.Threshold(1, colour)]


def _absolute(found: list[d.Threshold]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(found)


def _legend(*, shown: bool) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(c.LegendDisplayMode.LIST)
        .placement(c.LegendPlacement.BOTTOM)
        .show_legend(shown)
        .calcs([])
    )


def graph(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    limits: Sequence[str] = (),
    alerts: Sequence[str] = (),
    stacked: bool = False,
    maximum: float | None = None,
    from_zero: bool = True,
    colours: Mapping[str, str] | None = None,
    band: tuple[str, str] | None = None,
    marks: str = "",
    width: int = HALF,
    height: int = 8,
) -> Any:
    """Lines over time; a limit is a dashed line.

    Args:
        band: the lines that are its lower and its upper edge: what is between them is shaded.
        marks: of what there are points instead of a line.
    """
    made = panel(
        timeseries.Panel(), title, about, queries,
        limits=limits, alerts=alerts, instant=False, width=width, height=height,
    )  # fmt: skip
    if from_zero:
        made = made.min(0)
    made = (
        made.unit(unit)
        .color_scheme(dashboard.FieldColor().mode(d.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(c.VisibilityMode.NEVER)
        .legend(_legend(shown=True))
        .tooltip(
            common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING)
        )
    )
    if limits:
        style = common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED)
        made = made.thresholds(_absolute(steps(limits))).thresholds_style(style)
    if stacked:
        made = made.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    if maximum is not None:
        made = made.max(maximum)
    special = _shapes(band, marks)
    for name, colour in (colours or {}).items():
        drawn = {"color": {"mode": FIXED, "fixedColor": colour}, **special.get(name, {})}
        made = made.override_by_name(name, [d.DynamicConfigValue(*one) for one in drawn.items()])
    return made


def _shapes(band: tuple[str, str] | None, marks: str) -> dict[str, dict[str, object]]:
    """What is drawn in another way than as a line, by its name: all of it has a colour too."""
    found: dict[str, dict[str, object]] = {}
    if band:
        edge = {"custom.lineStyle": {"fill": "dash", "dash": [6, 6]}, "custom.fillOpacity": 0}
        found |= {
            band[0]: edge,
            band[1]: edge | {"custom.fillBelowTo": band[0], "custom.fillOpacity": 12},
        }
    if marks:
        found[marks] = {
            "custom.drawStyle": "points",
            "custom.showPoints": "always",
            "custom.pointSize": 8,
        }
    return found


def number(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    limits: Sequence[str] = (),
    alerts: Sequence[str] = (),
    values: Values | None = None,
    one_is: str = "",
    empty: str = "no data",
    decimals: int | None = None,
    width: int = QUARTER,
) -> Any:
    """One number now, or one for each series.

    Args:
        one_is: the colour from 1 on, of what there should be none of.
        empty: what to show where the query returns nothing.
    """
    made = panel(
        stat.Panel(), title, about, queries,
        limits=limits, alerts=alerts, width=width, height=4,
    )  # fmt: skip
    made = (
        made.unit(unit)
        .no_value(empty)
        .graph_mode(c.BigValueGraphMode.NONE)
        .color_mode(c.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    if values:
        made = made.mappings(mappings(values))
    elif one_is:
        made = made.thresholds(_absolute(from_one(one_is)))
    else:
        made = _coloured(made, limits)
    if decimals is not None:
        made = made.decimals(decimals)
    return made


def bars(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    limits: Sequence[str] = (),
    alerts: Sequence[str] = (),
    maximum: float | None = None,
    decimals: int | None = None,
    empty: str = "no data",
    width: int = HALF,
) -> Any:
    """A bar for each series, now."""
    made = panel(
        bargauge.Panel(), title, about, queries,
        limits=limits, alerts=alerts, width=width, height=8,
    )  # fmt: skip
    made = (
        made.unit(unit)
        .min(0)
        .no_value(empty)
        .display_mode(c.BarGaugeDisplayMode.BASIC)
        .orientation(c.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    made = _coloured(made, limits)
    if maximum is not None:
        made = made.max(maximum)
    if decimals is not None:
        made = made.decimals(decimals)
    return made


def states(
    title: str,
    about: str,
    query: Query,
    values: Values,
    alerts: Sequence[str] = (),
    *,
    height: int = 8,
) -> Any:
    """What was when: a band of colours for each series."""
    made = panel(
        statetimeline.Panel(), title, about, [query],
        alerts=alerts, instant=False, width=WHOLE, height=height,
    )  # fmt: skip
    return (
        made.mappings(mappings(values))
        .merge_values(True)
        .show_value(c.VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(_legend(shown=False))
    )
