"""What the alerts call too much or too little, so that a panel draws the same number.

A limit is named as a threshold file names it (`cpu_busy_percent`), or by the alert whose rule holds
the number itself (`SiteCertificateExpiring`). Its direction, its severity and its runbook are those
of the alert: a dashboard repeats none of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]

# How an alert compares with a threshold; tests/contracts/test_alerts.py holds them to this form.
_THRESHOLD = re.compile(
    r"([<>])=?\s*on \(job, instance\) group_left \(\) lookout:threshold:([a-z0-9_]+)"
)
_NUMBER = re.compile(r"([<>])=?\s*(\d+(?:\.\d+)?)$")


class UnknownNameError(Exception):
    """A panel names a threshold or an alert that no role has."""


@dataclass(frozen=True)
class Rule:
    """An alerting rule and where its runbook is."""

    alert: str
    expr: str
    severity: str
    runbook: str


@dataclass(frozen=True)
class Limit:
    """A number that an alert compares with; `over` says on which side of it the alert fires."""

    value: float
    over: bool
    rule: Rule


@cache
def rules() -> list[Rule]:
    """Return every alerting rule of the repository."""
    return [
        Rule(
            alert=rule["alert"],
            expr=rule["expr"].strip(),
            severity=rule["labels"]["severity"],
            runbook=rule["annotations"]["runbook"],
        )
        for path in sorted(ROOT.glob("roles/*/files/alerts/*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


@cache
def thresholds() -> dict[str, float]:
    """Return threshold -> value, as the roles ship them."""
    return {
        name: value
        for path in sorted(ROOT.glob("roles/*/files/thresholds/*.yml"))
        for name, value in yaml.safe_load(path.read_text(encoding="utf-8")).items()
        if name != "job"
    }


def runbook(alert: str) -> str:
    """Return the page and anchor of an alert's runbook."""
    for rule in rules():
        if rule.alert == alert:
            return rule.runbook
    raise UnknownNameError(f"there is no alert {alert} in roles/*/files/alerts")


def limits(name: str) -> list[Limit]:
    """Return the limits behind a name: one for each rule whose first comparison is with it."""
    if name[:1].isupper():
        runbook(name)
        compared = [(rule, _NUMBER.search(rule.expr)) for rule in rules() if rule.alert == name]
        found = [Limit(float(m[2]), m[1] == ">", rule) for rule, m in compared if m]
    else:
        if name not in thresholds():
            raise UnknownNameError(f"there is no threshold {name} in roles/*/files/thresholds")
        firsts = [(rule, _THRESHOLD.search(rule.expr)) for rule in rules()]
        found = [
            Limit(thresholds()[name], m[1] == ">", rule) for rule, m in firsts if m and m[2] == name
        ]
    if not found:
        raise UnknownNameError(f"no alert compares its value with {name}")
    return found
