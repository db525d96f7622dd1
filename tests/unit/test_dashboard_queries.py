"""The queries of a dashboard, as the gate against dead metrics asks them, and its verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
from dashboard_queries import (
    Query,
    QueryError,
    allowed,
    of_variable,
    problems,
    queries,
    substituted,
    values,
)


def panel(title: str, *exprs: str) -> dict[str, Any]:
    targets = [{"refId": letter, "expr": expr} for letter, expr in zip("ABC", exprs, strict=False)]
    return {"type": "timeseries", "title": title, "targets": targets}


DASHBOARD: dict[str, Any] = {
    "uid": "some",
    "templating": {
        "list": [
            {
                "name": "job", "type": "query", "query": 'label_values(up{job=~"a"}, job)',
                "hide": 2, "current": {"value": "a"},
            },
            {
                "name": "instance", "type": "query", "allValue": ".*",
                "current": {"value": "$__all"},
                "query": 'label_values(up{job=~"$job"}, instance)',
            },
            {"name": "host", "type": "query", "query": "label_values(up, instance)"},
        ]
    },
    "panels": [
        panel("Busy", 'rate(busy{job=~"$job",instance=~"${instance:regex}"}[$__rate_interval])'),
        {"type": "row", "title": "Closed", "panels": [panel("Two", "x[$__range:1m]", "y")]},
        {"type": "row", "title": "Open"},
    ],
}  # fmt: skip


def test_every_query_of_panels_rows_and_variables_is_found() -> None:
    assert [(q.panel, q.ref, q.expr) for q in queries(DASHBOARD)] == [
        ("$job", "", 'count by (job) (up{job=~"a",job!=""})'),
        ("$instance", "", 'count by (instance) (up{job=~"a",instance!=""})'),
        ("$host", "", 'count by (instance) (up{instance!=""})'),
        ("Busy", "A", 'rate(busy{job=~"a",instance=~".*"}[1m])'),
        ("Two", "A", "x[1h:1m]"),
        ("Two", "B", "y"),
    ]


def test_a_fixed_choice_is_itself_and_any_other_is_anything() -> None:
    assert values(DASHBOARD) == {"job": "a", "instance": ".*", "host": ".*"}


@pytest.mark.parametrize("text", ["up{a='$gone'}", "up[$__interval_of_mine]"])
def test_an_unknown_variable_is_a_mistake(text: str) -> None:
    with pytest.raises(QueryError, match="there is no variable"):
        substituted(text, {"job": "a"})


def test_a_variable_that_is_no_label_is_a_mistake() -> None:
    with pytest.raises(QueryError, match="not of the form"):
        of_variable("metrics(node_.+)")


# --- the allow-list ---

BUSY, IDLE = Query("some", "Busy", "A", "busy"), Query("some", "Idle", "A", "idle or busy")
OTHER = Query("other", "Busy", "A", "up")
ASKED = [BUSY, IDLE, OTHER]
NEVER, SOMETIMES = "never: no such thing", "sometimes: at night"


def test_a_reason_stands_for_all_that_is_below() -> None:
    assert allowed("x", ASKED, {"x": {"some": NEVER}}) == {BUSY: NEVER, IDLE: NEVER}
    assert allowed("x", ASKED, {"x": {"some": {"Busy": NEVER}}}) == {BUSY: NEVER}
    assert allowed("x", ASKED, {"x": {"some": {"Idle": {"A": SOMETIMES}}}}) == {IDLE: SOMETIMES}
    assert allowed("y", ASKED, {"x": {"some": NEVER}}) == {}
    assert allowed("x", ASKED, {"x": None}) == {}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"gone": NEVER}, "x: gone names no query"),
        ({"some": {"Gone": NEVER}}, "x: some / Gone names no query"),
        ({"some": {"Busy": {"B": NEVER}}}, "x: some / Busy / B names no query"),
        ({"some": "because"}, "x: some: begin with"),
        ({"some": "never:"}, "x: some: begin with"),
    ],
)
def test_an_entry_that_names_nothing_or_has_no_reason_is_a_mistake(
    entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        allowed("x", ASKED, {"x": entry})


# --- the verdict ---

EMITTED = {"busy", "idle", "up"}


@pytest.mark.parametrize(
    ("query", "count", "emitted", "reason", "verdict"),
    [
        (BUSY, 3, EMITTED, "", None),
        (BUSY, 0, EMITTED, "", "no series: some / Busy / A: busy"),
        (BUSY, 0, set(), "", "no series: some / Busy / A: busy"),
        (BUSY, "parse error", EMITTED, "", "refused: some / Busy / A: busy\n    parse error"),
        (BUSY, "parse error", EMITTED, NEVER, "refused: some / Busy / A: busy\n    parse error"),
        (BUSY, 0, set(), NEVER, None),
        (BUSY, 1, EMITTED, NEVER, "has series, take it off queries_allowed.yml: some / Busy / A"),
        (BUSY, 0, EMITTED, SOMETIMES, None),
        (BUSY, 1, EMITTED, SOMETIMES, None),
        (BUSY, 0, set(), SOMETIMES, "dead metric busy, not only sometimes: some / Busy / A"),
        (IDLE, 1, {"busy"}, "", "dead metric idle: some / Idle / A: idle or busy"),
    ],
)
def test_what_silence_means(
    query: Query, count: int | str, emitted: set[str], reason: str, verdict: str | None
) -> None:
    found = problems({query: count}, emitted, {query: reason} if reason else {})
    if verdict is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(verdict)
