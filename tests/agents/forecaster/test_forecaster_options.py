"""The configuration, and what series are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.forecaster.identity import Labels, bound_of, identify
from lookout.forecaster.options import ForecasterOptions
from lookout.kit import config
from lookout.kit.config import ConfigError

LABELS = st.dictionaries(st.sampled_from(["__name__", "job", "instance", "a", "b"]), st.text())


def parsed(text: str) -> ForecasterOptions:
    return config.parse(ForecasterOptions, text, "forecaster.yml")


@pytest.mark.parametrize(
    ("series", "says"),
    [
        ("{}", "series.one.query is missing"),
        ("{query: up, step_seconds: 7000}", "series.one.step_seconds must be at most 3600"),
        ("{query: up, step_seconds: 420}", "series.one.step_seconds has to divide an hour"),
        ("{query: up, season: month}", "must be one of day, week, got 'month'"),
        ("{query: up, horizon_hours: 48}", "series.one.horizon_hours is longer than a season"),
        ("{query: up, lower: 5, upper: 5}", "series.one.lower has to be below upper"),
        ("{query: up, upper: 1, upper_query: x}", "series.one.upper is given twice"),
        ("{query: up, labels: [1a]}", "series.one.labels '1a' is no name of a label"),
        ("{query: up, uper: 1}", "did you mean upper?"),
    ],
)
def test_a_mistake_is_named(series: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        parsed(f"series: {{one: {series}}}")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{url: prometheus}", "must be an address"),
        ("{url: 'https://me:secret@a/b@c'}", "has no user and password in it"),
        ("{certificate: /c}", "needs key"),
        ("{url: 'http://a', certificate: /c, key: /k}", "with https alone"),
        ("{user: me}", "needs password_credential"),
    ],
)
def test_a_source_that_cannot_be_asked_is_refused(source: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parsed(f"source: {source}")


def test_names_of_series_can_be_used_everywhere() -> None:
    with pytest.raises(ConfigError, match=r"series\.My-disk its name has to be of"):
        parsed("series: {My-disk: {query: up}}")


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parsed(text), ForecasterOptions)
    except ConfigError as error:
        if not error.problems:
            raise


@given(one=LABELS, other=LABELS)
def test_an_id_is_of_the_labels_alone(one: dict[str, str], other: dict[str, str]) -> None:
    for labels in (one, other):
        labels.pop("__name__", None)
    assert (identify("a", one).id == identify("a", other).id) == (one == other)
    assert identify("a", one).id != identify("b", one).id
    again = dict(reversed([*one.items()]))
    assert identify("a", {**again, "__name__": "x"}).id == identify("a", one).id


def test_a_target_is_what_tells_series_apart() -> None:
    labels = {"__name__": "used", "job": "node", "mountpoint": "/var", "instance": "db1"}
    assert identify("disk", labels).target == "db1 /var"
    assert identify("disk", labels).host == "db1"
    assert identify("disk", labels, ("mountpoint",)).target == "/var"
    assert identify("sum", {}).target == ""


def test_the_bound_with_the_most_labels_counts() -> None:
    found: list[tuple[Labels, float]] = [
        ({}, 1.0),
        ({"__name__": "size", "instance": "db1"}, 2.0),
        ({"instance": "x"}, 3.0),
    ]
    assert bound_of({"instance": "db1", "mountpoint": "/"}, found) == 2.0
    assert bound_of({"instance": "y"}, found) == 1.0
    assert bound_of({"instance": "y"}, found[1:]) is None
