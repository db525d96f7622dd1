"""Which metrics an expression or the alerts ask for, read from the syntax tree of PromQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml
from promql_parser import Expr, MatchOp, VectorSelector, parse, walk

if TYPE_CHECKING:
    from pathlib import Path

# Recorded by our own rules: no exporter has them.
RECORDED_PREFIX = "lookout:"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def selectors(expr: str) -> list[VectorSelector]:
    """Return every vector selector of the expression, also those inside ranges and functions."""
    found: list[VectorSelector] = []

    def visit(node: Expr) -> bool:
        if isinstance(node, VectorSelector):
            found.append(node)
        return True

    walk(parse(expr), visit)
    return found


def matchers(selector: VectorSelector) -> list[tuple[str, str, list[str]]]:
    """Return the matchers of a selector as (label, operator, values).

    The operator is one of `=`, `!=`, `=~`, `!~`; a regular expression is split at its bars.
    """
    operators = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
    groups = [selector.matchers.matchers, *selector.matchers.or_matchers]
    result = []
    for matcher in (matcher for group in groups for matcher in group):
        operator = next(
            sign for name, sign in operators.items() if matcher.op == getattr(MatchOp, name)
        )
        values = matcher.value.split("|") if "~" in operator else [matcher.value]
        result.append((matcher.name, operator, values))
    return result


def metric_names(expr: str) -> set[str]:
    """Return the metrics that a PromQL expression names.

    A matcher on `__name__` counts where it spells names out (`=` or `=~"a|b"`); a pattern such as
    `=~"node_.+"` names no metric.
    """
    names: set[str] = set()
    for selector in selectors(expr):
        if selector.name:
            names.add(selector.name)
        for label, operator, values in matchers(selector):
            if label == "__name__" and operator in ("=", "=~"):
                names.update(value for value in values if _NAME.fullmatch(value))
    return names


def rule_metrics(root: Path) -> dict[str, set[str]]:
    """Return metric -> names of the alerts and recording rules under `root` that read it.

    What the rules record themselves is left out: it is there as soon as the rules run.
    """
    users: dict[str, set[str]] = {}
    recorded: set[str] = set()
    for path in sorted(root.glob("roles/*/files/alerts/*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                recorded.update({rule["record"]} if "record" in rule else ())
                for name in metric_names(rule["expr"]):
                    users.setdefault(name, set()).add(rule.get("alert") or rule["record"])
    return {
        name: rules
        for name, rules in users.items()
        if name not in recorded and not name.startswith(RECORDED_PREFIX)
    }
