"""The metrics of an expression, as the gate against dead metrics reads them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    path = ROOT / "tests/contracts/metric_names.py"
    spec = importlib.util.spec_from_file_location("metric_names", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


metric_names = _load()


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ('up{job="node_exporter"} == 0', {"up"}),
        ("vector(1)", set()),
        ("absent(up)", {"up"}),
        ("sum by (job) (rate(errors_total[5m] offset 1h)) / sum(requests_total)",
         {"errors_total", "requests_total"}),
        ("a > on (job) group_left () lookout:threshold:b", {"a", "lookout:threshold:b"}),
        ('{__name__="c"} or {__name__=~"d|e"} or {__name__=~"lookout:.+"}', {"c", "d", "e"}),
        ('f{other!="g"}', {"f"}),
        ("max_over_time(rate(h[5m])[1h:1m]) unless on (x) -i", {"h", "i"}),
        ('label_replace(j, "rate", "$1", "sum", "(.+)")', {"j"}),
        ("predict_linear(k[6h], 24 * 3600) < 0 and topk(3, l @ end())", {"k", "l"}),
    ],
)  # fmt: skip
def test_names_are_found_wherever_they_stand(expr: str, names: set[str]) -> None:
    assert metric_names.metric_names(expr) == names


def test_an_expression_that_is_no_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        metric_names.metric_names("rate(a[5m]")


def test_matchers_are_split_into_values() -> None:
    [selector] = metric_names.selectors('up{job!~"a|b",instance="c"}')
    assert metric_names.matchers(selector) == [("job", "!~", ["a", "b"]), ("instance", "=", ["c"])]


def test_rules_of_a_tree_are_listed_without_what_they_record(tmp_path: Path) -> None:
    folder = tmp_path / "roles/some/files/alerts"
    folder.mkdir(parents=True)
    (folder / "some.yml").write_text(
        """
groups:
  - name: some
    rules:
      - record: some:requests:rate5m
        expr: rate(requests_total[5m])
      - alert: SomeSlow
        expr: some:requests:rate5m < 1 and up == 1
      - alert: SomeBusy
        expr: busy_percent > on (job, instance) lookout:threshold:busy_percent and up == 1
"""
    )
    assert metric_names.rule_metrics(tmp_path) == {
        "requests_total": {"some:requests:rate5m"},
        "up": {"SomeSlow", "SomeBusy"},
        "busy_percent": {"SomeBusy"},
    }
