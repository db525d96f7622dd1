"""Thresholds of roles and hosts become recording rules with one series a target."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    path = ROOT / "plugins/filter/thresholds.py"
    spec = importlib.util.spec_from_file_location("thresholds", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


thresholds = _load()

DEFAULTS = {"node_exporter": {"cpu_busy_percent": 80, "clock_skew_seconds": 0.05}}


def _expressions(
    overrides: dict[str, dict[str, float]], name: str = "cpu_busy_percent"
) -> list[str]:
    rules = thresholds.threshold_rules(DEFAULTS, overrides)
    return [
        rule["expr"]
        for group in rules["groups"]
        for rule in group["rules"]
        if rule["record"] == f"lookout:threshold:{name}"
    ]


def test_without_overrides_one_rule_covers_every_target() -> None:
    assert thresholds.threshold_rules(DEFAULTS, {}) == {
        "groups": [
            {
                "name": "lookout-thresholds-node_exporter",
                "rules": [
                    {
                        "record": "lookout:threshold:cpu_busy_percent",
                        "expr": '0 * max by (job, instance) (up{job="node_exporter"}) + 80',
                    },
                    {
                        "record": "lookout:threshold:clock_skew_seconds",
                        "expr": '0 * max by (job, instance) (up{job="node_exporter"}) + 0.05',
                    },
                ],
            }
        ]
    }


def test_a_host_with_a_value_of_its_own_gets_a_rule_of_its_own() -> None:
    overrides: dict[str, dict[str, float]] = {
        "web1": {},
        "db.example": {"cpu_busy_percent": 95},
        "web2": {},
    }
    assert _expressions(overrides) == [
        r'0 * max by (job, instance) (up{job="node_exporter",instance!~"db\\.example"}) + 80',
        r'0 * max by (job, instance) (up{job="node_exporter",instance=~"db\\.example"}) + 95',
    ]


def test_the_value_of_most_hosts_is_the_one_for_targets_that_are_no_host() -> None:
    overrides: dict[str, dict[str, float]] = {
        "a": {"cpu_busy_percent": 90},
        "b": {"cpu_busy_percent": 90.0},
        "c": {},
    }
    assert _expressions(overrides) == [
        '0 * max by (job, instance) (up{job="node_exporter",instance!~"c"}) + 90',
        '0 * max by (job, instance) (up{job="node_exporter",instance=~"c"}) + 80',
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        {"a": {"cpu_busy_percent": 90}, "b": {}},
        {"a": {"cpu_busy_percent": 90}, "b": {"cpu_busy_percent": 70}},
    ],
    ids=["with the default", "without it"],
)
def test_a_tie_leaves_the_default(overrides: dict[str, dict[str, float]]) -> None:
    assert _expressions(overrides)[0].endswith(") + 80")


def test_hosts_with_the_same_value_share_a_rule() -> None:
    overrides: dict[str, dict[str, float]] = {name: {} for name in "wxyz"}
    overrides |= {"b": {"cpu_busy_percent": 90}, "a": {"cpu_busy_percent": 90}}
    assert _expressions(overrides)[1:] == [
        '0 * max by (job, instance) (up{job="node_exporter",instance=~"a|b"}) + 90'
    ]


def test_a_value_equal_to_the_default_is_no_exception() -> None:
    assert len(_expressions({"a": {"cpu_busy_percent": 80.0}, "b": {}})) == 1


def test_an_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(AnsibleFilterError, match=r"host web1: .* cpu_bussy.*: cpu_busy_percent"):
        thresholds.threshold_rules(DEFAULTS, {"web1": {"cpu_bussy_percent": 90}})


@pytest.mark.parametrize("value", ["90", None, True, float("nan"), float("inf"), [90]])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match="host web1: cpu_busy_percent must be a number"):
        thresholds.threshold_rules(DEFAULTS, {"web1": {"cpu_busy_percent": value}})


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as error:
        thresholds.threshold_rules(
            {"one": {"age_hours": "x"}, "two": {"age_hours": 1, "Bad-Name": 1}},
            {"web1": {"nothing": 1}, "web2": {"age_hours": "soon"}},
        )
    text = str(error.value)
    for part in ("job one: age_hours must be", "belongs to job one already", "'Bad-Name'"):
        assert part in text
    assert "host web1" in text
    assert "host web2" in text


def test_a_job_without_thresholds_has_no_group() -> None:
    assert thresholds.threshold_rules({"empty": {}}, {}) == {"groups": []}


def test_ansible_finds_the_filter() -> None:
    assert thresholds.FilterModule().filters() == {"threshold_rules": thresholds.threshold_rules}


_SELECTOR = re.compile(
    r'up\{job="node_exporter"(?:,instance(!~|=~)"((?:[^"\\]|\\.)*)")?\}\) \+ (.+)$'
)


def _recorded(expressions: list[str], instance: str) -> list[float]:
    """Evaluate the rules for one instance as Prometheus does: unquoted, anchored at both ends."""
    values = []
    for expression in expressions:
        match = _SELECTOR.search(expression)
        assert match is not None, expression
        operator, quoted, value = match.groups()
        pattern = (quoted or "").replace('\\"', '"').replace("\\\\", "\\")
        matches = re.fullmatch(pattern, instance) is not None if operator else True
        if matches == (operator != "!~"):
            values.append(float(value))
    return values


_HOSTS = st.text("ab.-_+()[]|*?^$\\/:0", min_size=1, max_size=8)
_OWN: st.SearchStrategy[dict[str, float]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"cpu_busy_percent": st.sampled_from([1, 80, 90.5, 95, -3])}),
)


@given(st.dictionaries(_HOSTS, _OWN, max_size=8), _HOSTS)
def test_every_instance_has_exactly_one_value_and_a_host_its_own(
    overrides: dict[str, dict[str, float]], other: str
) -> None:
    expressions = _expressions(overrides)
    for host, own in overrides.items():
        assert _recorded(expressions, host) == [own.get("cpu_busy_percent", 80)]
    assert len(_recorded(expressions, other)) == 1


def test_a_role_can_have_thresholds_of_another_job() -> None:
    rules = thresholds.threshold_rules(
        {"certbot": {"job": "node_exporter", "days": 20}}, {"web1": {}}
    )
    (group,) = rules["groups"]
    assert group["name"] == "lookout-thresholds-certbot"
    (rule,) = group["rules"]
    assert rule["record"] == "lookout:threshold:days"
    assert 'up{job="node_exporter"}' in rule["expr"]
