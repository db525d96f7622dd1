"""What holds for every alert of the repository, whichever role it is in."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]

SEVERITIES = {"critical", "warning", "none"}
TEAMS = {"infrastructure", "data-science", "on-call"}

# Alerts whose summary cannot name an instance, each with the reason.
WITHOUT_INSTANCE = {
    "AlertmanagerMissing": "absent(): there is no target to name",
    "NodeExporterMissing": "absent(): there is no target to name",
    "ProbesMissing": "counts targets that are gone",
    "PrometheusUnwatched": "absent(): there is no target to name",
    "ThresholdsMissing": "absent(): there is no target to name",
    "Watchdog": "is about the way to the receivers, not about a target",
}
# Alerts that are never quiet and never resolve.
ALWAYS_FIRING = {"Watchdog"}
# Jobs whose name is not that of a role: an exporter that is both probed through and watched.
OTHER_JOBS = {"blackbox_exporter_self", "victoriametrics_agent"}
# Prometheus adds these to every scrape of every job.
OF_EVERY_JOB = {"scrape_samples_post_metric_relabeling", "scrape_sample_limit"}

# Every agent has them, whatever its job is called.
OF_EVERY_AGENT = "agent_"

THRESHOLD = "lookout:threshold:"
THRESHOLD_JOIN = "on (job, instance) group_left () " + THRESHOLD


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


promql = _load(ROOT / "tests/contracts/metric_names.py")


@dataclass(frozen=True)
class Alert:
    """One alerting rule and the role that it belongs to."""

    role: str
    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]

    def __str__(self) -> str:
        return f"{self.name}-{self.labels.get('severity')}"


@dataclass(frozen=True)
class Expectation:
    """What a promtool test expects of an alert at one moment."""

    seconds: int
    severities: frozenset[str]


def _rule_files() -> list[Path]:
    return sorted(ROOT.glob("roles/*/files/alerts/*.yml"))


def _role(path: Path) -> str:
    return path.relative_to(ROOT / "roles").parts[0]


def _alerts() -> list[Alert]:
    return [
        Alert(
            role=_role(path),
            name=rule["alert"],
            expr=rule["expr"],
            labels=rule.get("labels", {}),
            annotations=rule.get("annotations", {}),
        )
        for path in _rule_files()
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


@cache
def _thresholds() -> dict[str, set[str]]:
    """Return role -> the thresholds it declares."""
    return {
        _role(path): set(yaml.safe_load(path.read_text())) - {"job"}
        for path in sorted(ROOT.glob("roles/*/files/thresholds/*.yml"))
    }


def _used_thresholds(alert: Alert) -> set[str]:
    names: set[str] = promql.metric_names(alert.expr)
    return {name.removeprefix(THRESHOLD) for name in names if name.startswith(THRESHOLD)}


ALERTS = _alerts()
every_alert = pytest.mark.parametrize("alert", ALERTS, ids=str)


def test_there_are_alerts() -> None:
    assert ALERTS


@pytest.mark.parametrize("path", _rule_files(), ids=lambda path: path.name)
def test_rule_files_are_plain_yaml(path: Path) -> None:
    """Ansible copies the file as it stands: braces are Go's, for labels and the value."""
    assert path.stem == _role(path)
    text = path.read_text()
    assert "{%" not in text
    assert "{#" not in text
    value = r"\{\{ \$(?:labels\.[a-z_]+|value)(?: \| [^{}]+)? \}\}"
    # Another series' value, which a label of the alert leads to
    asked = r"\{\{ with printf\s+\"[^\"]+\"(?: \$labels\.[a-z_]+)+ \| query\s+\}\}"
    shown = r"\{\{ \. \| first \| value \| [a-z]+ \}\}\{\{ end \}\}"
    assert "{{" not in re.sub(f"{value}|{asked}{shown}", "", text)


def test_names_are_unique() -> None:
    seen: dict[tuple[str, str], str] = {}
    role_of: dict[str, str] = {}
    for alert in ALERTS:
        key = (alert.name, alert.labels.get("severity", ""))
        assert key not in seen, f"{alert} stands twice"
        seen[key] = alert.role
        owner = role_of.setdefault(alert.name, alert.role)
        assert owner == alert.role, f"{alert.name} is in {owner} and {alert.role}"


@every_alert
def test_labels_and_annotations(alert: Alert) -> None:
    assert re.fullmatch(r"([A-Z][a-z0-9]+)+", alert.name)
    assert alert.labels.get("severity") in SEVERITIES
    assert (alert.labels["severity"] == "none") == (alert.name in ALWAYS_FIRING)
    assert alert.labels.get("team") in TEAMS
    assert set(alert.annotations) == {"summary", "description", "runbook"}
    assert all(alert.annotations.values())
    assert "\n" not in alert.annotations["summary"]
    named = "$labels.instance" in alert.annotations["summary"]
    assert named != (alert.name in WITHOUT_INSTANCE)


def test_exceptions_are_still_needed() -> None:
    names = {alert.name for alert in ALERTS}
    assert set(WITHOUT_INSTANCE) | ALWAYS_FIRING <= names


# --- runbooks ---


def _headings(path: Path) -> list[str]:
    return re.findall(r"^## (.+)$", path.read_text(), flags=re.MULTILINE)


@every_alert
def test_alert_has_its_runbook(alert: Alert) -> None:
    page = f"docs/runbooks/{alert.role}.md"
    assert alert.annotations["runbook"] == f"{page}#{alert.name.lower()}"
    assert _headings(ROOT / page).count(alert.name) == 1


@pytest.mark.parametrize("role", sorted({alert.role for alert in ALERTS}))
def test_runbook_is_about_alerts_that_exist(role: str) -> None:
    names = {alert.name for alert in ALERTS if alert.role == role}
    assert set(_headings(ROOT / f"docs/runbooks/{role}.md")) == names
    index = (ROOT / "docs/runbooks/README.md").read_text()
    assert f"({role}.md)" in index
    for name in names:
        assert f"({role}.md#{name.lower()})" in index, f"{name} is not in the index"


# --- selectors and thresholds ---


@every_alert
def test_selectors_name_known_jobs(alert: Alert) -> None:
    known = {path.name for path in (ROOT / "roles").iterdir()} | OTHER_JOBS
    for selector in promql.selectors(alert.expr):
        matchers = {label: values for label, _, values in promql.matchers(selector)}
        assert "instance" not in matchers, "a rule holds for every instance"
        names: set[str] = promql.metric_names(selector.prettify())
        recorded = any(name.startswith("lookout:") for name in names) or not names
        of_all = names <= OF_EVERY_JOB or all(name.startswith(OF_EVERY_AGENT) for name in names)
        if not recorded and not of_all:
            assert "job" in matchers, f"{selector.prettify()} selects no job"
        for job in matchers.get("job", []):
            assert job in known, f"{job} is no role of this repository"


@every_alert
def test_thresholds_are_declared_by_the_same_role_and_joined_by_target(alert: Alert) -> None:
    used = _used_thresholds(alert)
    assert used <= _thresholds().get(alert.role, set())
    joins = re.findall(rf"{re.escape(THRESHOLD_JOIN)}([a-z0-9_]+)", alert.expr)
    assert set(joins) == used


def test_every_threshold_is_used() -> None:
    used = {(alert.role, name) for alert in ALERTS for name in _used_thresholds(alert)}
    declared = {(role, name) for role, names in _thresholds().items() for name in names}
    assert declared == used


def test_metrics_that_may_be_missing_have_a_reason_and_a_user() -> None:
    allowed: dict[str, str] = yaml.safe_load(
        (ROOT / "tests/contracts/metrics_allowed.yml").read_text()
    )
    assert all(isinstance(reason, str) and reason for reason in allowed.values())
    assert not set(allowed) - set(promql.rule_metrics(ROOT)), "used by no rule"


# --- promtool tests ---


def _seconds(duration: str) -> int:
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([dhms])", duration)
    assert "".join(number + unit for number, unit in parts) == duration, duration
    return sum(int(number) * units[unit] for number, unit in parts)


def _expectations(group: dict[str, Any], alertname: str) -> list[Expectation]:
    return [
        Expectation(
            seconds=_seconds(str(test["eval_time"])),
            severities=frozenset(
                expected["exp_labels"]["severity"] for expected in test["exp_alerts"] or []
            ),
        )
        for test in group.get("alert_rule_test", [])
        if test["alertname"] == alertname
    ]


def _test_files(role: str) -> list[Path]:
    return sorted((ROOT / "roles" / role / "files/alerts/tests").glob("*_test.yml"))


@cache
def _test_groups(role: str) -> list[dict[str, Any]]:
    return [
        group for path in _test_files(role) for group in yaml.safe_load(path.read_text())["tests"]
    ]


def _tests_of(alert: Alert) -> list[list[Expectation]]:
    """Return, for each promtool test that looks at the alert, what it expects."""
    groups = [_expectations(group, alert.name) for group in _test_groups(alert.role)]
    return [group for group in groups if group]


@pytest.mark.parametrize("role", sorted({alert.role for alert in ALERTS}))
def test_promtool_tests_use_the_rules_as_installed(role: str) -> None:
    files = _test_files(role)
    assert files
    for path in files:
        assert path.name.startswith(role)
        loaded = yaml.safe_load(path.read_text())["rule_files"]
        assert sorted(loaded) == sorted(["thresholds.yml", f"{role}.yml"]), path


@every_alert
def test_alert_is_proven_to_fire(alert: Alert) -> None:
    severity = alert.labels["severity"]
    assert any(severity in e.severities for group in _tests_of(alert) for e in group)


@every_alert
def test_alert_is_proven_to_stay_quiet(alert: Alert) -> None:
    """Some test with other inputs, in which the alert never fires, looks at it."""
    if alert.name in ALWAYS_FIRING:
        return
    severity = alert.labels["severity"]
    assert any(all(severity not in e.severities for e in group) for group in _tests_of(alert))


@every_alert
def test_alert_is_proven_to_resolve(alert: Alert) -> None:
    """Some test sees it quiet, then firing, then quiet again."""
    if alert.name in ALWAYS_FIRING:
        return
    severity = alert.labels["severity"]
    for group in _tests_of(alert):
        states = [severity in e.severities for e in sorted(group, key=lambda e: e.seconds)]
        if True not in states:
            continue
        first = states.index(True)
        if first > 0 and False in states[first:]:
            return
    pytest.fail("no test sees this alert quiet, then firing, then quiet again")
