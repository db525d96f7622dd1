"""Tables: one row for each host, probe or alert, one column for each question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import table as builder
from grafana_foundation_sdk.models import dashboard as d

from tools.dashboards.look import WHOLE, Values, from_one, mappings, panel, steps


@dataclass(frozen=True)
class Column:
    """A value for each row; `limits` colour it, `values` turn numbers into words.

    `one_is` is the colour from 1 on, of what there should be none of.
    """

    name: str
    expr: str
    unit: str = "short"
    limits: Sequence[str] = ()
    values: Values | None = None
    one_is: str = ""
    decimals: int | None = None

    def properties(self) -> list[d.DynamicConfigValue]:
        """What Grafana overrides for the column."""
        made: dict[str, object] = {"unit": self.unit}
        if self.decimals is not None:
            made["decimals"] = self.decimals
        if self.values:
            made["mappings"] = mappings(self.values)
        if self.limits or self.one_is:
            found = from_one(self.one_is) if self.one_is else steps(self.limits)
            made["thresholds"] = {"mode": "absolute", "steps": found}
        if self.limits or self.one_is or self.values:
            made["custom.cellOptions"] = {"type": "color-text"}
        return [d.DynamicConfigValue(name, value) for name, value in made.items()]


def _organized(order: Sequence[str], names: Mapping[str, str]) -> d.DataTransformerConfig:
    return d.DataTransformerConfig(
        "organize",
        options={
            "excludeByName": {"Time": True},
            "indexByName": {name: index for index, name in enumerate(order)},
            "renameByName": dict(names),
        },
    )


def _sorted(made: Any, by: str, *, falling: bool = False) -> Any:
    return made.sort_by([common.TableSortByFieldState().display_name(by).desc(falling)])


def table(
    title: str,
    about: str,
    columns: Sequence[Column],
    *,
    keys: Sequence[str] = ("instance",),
    alerts: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    height: int = 8,
) -> Any:
    """One row for each value of the labels `keys`, which every column's query groups by.

    Args:
        links: column or label -> where a click on its cell leads.
    """
    made = panel(
        builder.Panel(), title, about, [(column.expr, "") for column in columns],
        limits=[name for column in columns for name in column.limits], alerts=alerts,
        as_table=True, width=WHOLE, height=height,
    )  # fmt: skip
    # What Grafana calls the values of several queries, and of one
    names = {
        f"Value #{letter}": column.name
        for letter, column in zip(ascii_uppercase, columns, strict=False)
    }
    if len(columns) == 1:
        names = {"Value": columns[0].name}
    made = made.with_transformation(d.DataTransformerConfig("merge", options={}))
    made = _sorted(made.with_transformation(_organized([*keys, *names], names)), keys[0])
    for column in columns:
        made = made.override_by_name(column.name, column.properties())
    for field, url in (links or {}).items():
        link = d.DynamicConfigValue("links", [{"title": "Look at it", "url": url}])
        made = made.override_by_name(field, [link])
    return made


def series_table(
    title: str,
    about: str,
    expr: str,
    labels: Sequence[str],
    value: Column,
    *,
    words: Mapping[str, Values] | None = None,
    links: Mapping[str, str] | None = None,
    empty: str = "nothing",
    height: int = 10,
) -> Any:
    """One row for each series of a query: its labels, in this order, and its value.

    The query groups by these labels, so that there are no others.

    Args:
        words: label -> its values, with the word and the colour to show for them.
    """
    made = panel(
        builder.Panel(), title, about, [(expr, "")], as_table=True, width=WHOLE, height=height
    ).no_value(empty)
    names = {"Value": value.name}
    made = _sorted(made.with_transformation(_organized([*labels, "Value"], names)), labels[0])
    made = made.override_by_name(value.name, value.properties())
    for label, values in (words or {}).items():
        properties = {"mappings": mappings(values), "custom.cellOptions": {"type": "color-text"}}
        made = made.override_by_name(
            label, [d.DynamicConfigValue(name, value) for name, value in properties.items()]
        )
    for field, url in (links or {}).items():
        link = d.DynamicConfigValue("links", [{"title": "Look at it", "url": url}])
        made = made.override_by_name(field, [link])
    return made
