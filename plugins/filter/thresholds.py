"""Turn the thresholds of all jobs, and what hosts change in them, into recording rules.

An alert compares its value with `lookout:threshold:<name>`, which has one series for each target of
the job that owns the threshold, with the labels `job` and `instance` and nothing else. So the alert
files stay plain YAML, and one host may have another value than its neighbours.

A role whose metrics are those of another job, as text files that the node exporter reads, names
that job in its thresholds with the key `job`; the rules are still a group of the role's own.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECORD_PREFIX = "lookout:threshold:"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# What Go's regexp.QuoteMeta escapes; re.escape would also escape the hyphens of host names.
_REGEX_META = re.compile(r"([\\.+*?()|\[\]{}^$])")

RuleFile = dict[str, list[dict[str, Any]]]

# The key of a threshold file that names the job, where that is not the file's name
JOB = "job"


def _is_number(value: object) -> bool:
    """Whether the value is a finite number; YAML's `yes` is a boolean, which Python takes for 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _promql_number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _promql_string(text: str) -> str:
    # PromQL's double-quoted strings take the escapes that JSON writes.
    return json.dumps(text, ensure_ascii=False)


def _any_of(instances: list[str]) -> str:
    """Return the PromQL string of a regular expression that matches exactly these instances."""
    return _promql_string("|".join(_REGEX_META.sub(r"\\\1", name) for name in sorted(instances)))


def _rule(job: str, name: str, instances: str, value: float) -> dict[str, str]:
    # `up` is there for every target, reachable or not. `max by` leaves one series where a target is
    # probed twice, so that an alert's `group_left` finds exactly one.
    up = f"up{{job={_promql_string(job)}{instances}}}"
    return {
        "record": RECORD_PREFIX + name,
        "expr": f"0 * max by (job, instance) ({up}) + {_promql_number(value)}",
    }


def _rules_of_threshold(
    job: str, name: str, default: float, overrides: Mapping[str, Mapping[str, float]]
) -> list[dict[str, str]]:
    value_of = {host: float(own.get(name, default)) for host, own in overrides.items()}
    votes = Counter(value_of.values())
    most = max(votes.values(), default=0)
    common = float(default)
    if votes[common] < most:
        winners = [value for value, count in votes.items() if count == most]
        common = winners[0] if len(winners) == 1 else common

    exceptions: dict[float, list[str]] = {}
    for host, value in value_of.items():
        if value != common:
            exceptions.setdefault(value, []).append(host)
    excepted = [host for hosts in exceptions.values() for host in hosts]

    others = f",instance!~{_any_of(excepted)}" if excepted else ""
    return [
        _rule(job, name, others, common),
        *(
            _rule(job, name, f",instance=~{_any_of(exceptions[value])}", value)
            for value in sorted(exceptions)
        ),
    ]


def _problems_of_defaults(defaults: Mapping[str, Mapping[str, object]]) -> list[str]:
    problems: list[str] = []
    owner: dict[str, str] = {}
    for job, thresholds in defaults.items():
        for name, value in thresholds.items():
            if not _NAME.fullmatch(name):
                problems.append(f"job {job}: {name!r} is not a threshold's name (a-z, 0-9, _)")
            if not _is_number(value):
                problems.append(f"job {job}: {name} must be a number, got {value!r}")
            if name in owner:
                problems.append(f"job {job}: {name} belongs to job {owner[name]} already")
            owner.setdefault(name, job)
    return problems


def _problems_of_overrides(
    known: list[str], overrides: Mapping[str, Mapping[str, object]]
) -> list[str]:
    problems: list[str] = []
    for host, own in overrides.items():
        for name, value in own.items():
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
                problems.append(
                    f"host {host}: there is no threshold {name}; nearest: {', '.join(nearest)}"
                )
            elif not _is_number(value):
                problems.append(f"host {host}: {name} must be a number, got {value!r}")
    return problems


def threshold_rules(
    defaults: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Mapping[str, float]]
) -> RuleFile:
    """Return a Prometheus rule file that records every threshold for every target.

    Args:
        defaults: job -> threshold name (its unit is in the name) -> value, as the roles ship it;
            `job` among the names is the job whose targets have them.
        overrides: host -> threshold name -> value. Name every host, with an empty mapping where it
            changes nothing: the value that most hosts have (the default, when tied) is also that
            of the targets which are no host here, such as the web sites that are probed.

    Returns:
        `{"groups": [...]}` with one group a job and, in it, one rule a distinct value.

    Raises:
        AnsibleFilterError: with every unknown name and every value that is no number.
    """
    job_of = {key: str(values.get(JOB, key)) for key, values in defaults.items()}
    defaults = {
        key: {name: value for name, value in values.items() if name != JOB}
        for key, values in defaults.items()
    }
    known = sorted(name for thresholds in defaults.values() for name in thresholds)
    problems = _problems_of_defaults(defaults) + _problems_of_overrides(known, overrides)
    if problems:
        raise AnsibleFilterError("thresholds: " + "\n".join(problems))
    return {
        "groups": [
            {
                "name": f"lookout-thresholds-{job}",
                "rules": [
                    rule
                    for name, default in thresholds.items()
                    for rule in _rules_of_threshold(job_of[job], name, default, overrides)
                ],
            }
            for job, thresholds in defaults.items()
            if thresholds
        ]
    }


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[..., RuleFile]]:
        """Return the filters of this file by name."""
        return {"threshold_rules": threshold_rules}
