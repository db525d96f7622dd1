"""What Prometheus is told, rendered by the jobs: the API hands the files on as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf, isfinite
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Record = dict[str, Any]
PREFIX = "lookout_forecast_"
SERIES = ["series", "target", "host"]
Row = tuple[list[str], float | None]


class _Fixed(Collector):
    """Families that were made before."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        yield from self._families


def rendered(families: Iterable[Metric]) -> bytes:
    """The text of these families."""
    registry = CollectorRegistry()
    registry.register(_Fixed(families))
    return generate_latest(registry)


def gauge(name: str, said: str, rows: Iterable[Row], *labels: str) -> GaugeMetricFamily:
    """A family of gauges; what is not known has no sample."""
    family = GaugeMetricFamily(PREFIX + name, said, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, number)
    return family


def named(record: Record, *more: str) -> list[str]:
    """The values of the labels that all samples of a series have."""
    return [record["series"], record["target"], record["host"], *more]


def of_forecasts(records: list[Record]) -> bytes:
    """The samples of every series that has a forecast, from its summary."""

    def each(get: Callable[[Record], float | None]) -> list[Row]:
        return [(named(record), get(record)) for record in records]

    def inside(key: str, field: str) -> list[Row]:
        return each(lambda record: (record[key] or {}).get(field))

    horizons = [(record, at) for record in records for at in record["horizons"]]
    crossings = [(record, bound) for record in records for bound in record["bounds"]]
    families = [
        gauge(name, said, [(named(record, at["horizon"]), at[name]) for record, at in horizons],
              *SERIES, "horizon")
        for name, said in (
            ("value", "The forecast."),
            ("lower", "Lower edge of the band that holds 90 % of what comes."),
            ("upper", "Upper edge of that band."),
        )
    ]  # fmt: skip
    families += [
        gauge("measured", "The newest value.", inside("measured", "value"), *SERIES),
        gauge("now_expected", "What is expected now, from values before.",
              inside("expected", "value"), *SERIES),
        gauge("now_lower", "A value below is unusual now.", inside("expected", "lower"), *SERIES),
        gauge("now_upper", "A value above is unusual now.", inside("expected", "upper"), *SERIES),
        gauge("anomaly_score", "How unusual the newest value is; an anomaly begins at 1.",
              inside("anomaly", "score"), *SERIES),
        gauge("anomaly", "Whether the newest value is in an anomaly; never without skill.",
              inside("anomaly", "raised"), *SERIES),
        gauge("recent_error_ratio", "Error of a forecast of a season ago, as a part of that in the"
              " backtest.", each(lambda one: one["recent_error_ratio"]), *SERIES),
    ]  # fmt: skip
    families += [
        gauge(name, said,
              [(named(record, bound["bound"]), seconds(bound[key])) for record, bound in crossings],
              *SERIES, "bound")
        for name, key, said in (
            ("bound_seconds", "seconds", "Until the forecast crosses its bound."),
            ("bound_earliest_seconds", "earliest_seconds",
             "Until the edge of the band crosses the bound."),
        )
    ]  # fmt: skip
    return rendered(families)


def seconds(value: float | None) -> float:
    """Never is +Inf."""
    return inf if value is None or not isfinite(value) else value


def of_run(head: Record, queries: Record, count: int) -> bytes:
    """The samples of a run of forecasts: also of one that failed."""
    families = [
        gauge("query_failed", "Whether the query had no answer in the last run.",
              [([name], float(query["failed"])) for name, query in queries.items()], "series"),
        gauge("series_over_limit", "Series that a query returns and that are not forecast.",
              [([name], query["over_limit"]) for name, query in queries.items()], "series"),
        gauge("last_run_timestamp_seconds", "When forecasts were made last.",
              [([], head["worked"])]),
        gauge("last_run_duration_seconds", "How long the last run took.",
              [([], head["duration_seconds"])]),
        gauge("series", "Series that have a forecast.", [([], count)]),
    ]  # fmt: skip
    return rendered(families)


def of_training(head: Record, records: list[Record]) -> bytes:
    """The samples of the models, and of the training that made them."""
    refused = {(*named(record),) for record in records if record["state"] == "refused"}
    # What is refused as its target is another one's too has the same labels, which come once.
    first = sorted(records, key=lambda record: record["state"] == "refused")
    records = [*{(*named(record),): record for record in reversed(first)}.values()]
    models = [record for record in records if record["model"]]

    def inside(field: str) -> list[Row]:
        return [(named(record), number(record["model"][field])) for record in models]

    failures = CounterMetricFamily(
        f"{PREFIX}training_failures",
        "Trainings that failed: the former model goes on.",
        labels=SERIES,
    )
    for record in records:
        failures.add_metric(named(record), record["failures"])
    return rendered([
        gauge("mase", "Error of the model as a part of seasonal naive's in its history.",
              inside("mase"), *SERIES),
        gauge("error_ratio", "Error of the model as a part of seasonal naive's in the backtest.",
              inside("error_ratio"), *SERIES),
        gauge("coverage_ratio", "Share of values inside the bands in the backtest.",
              inside("coverage"), *SERIES),
        gauge("skilled", "Whether the model is better than seasonal naive.",
              inside("skilled"), *SERIES),
        gauge("model_trained_timestamp_seconds", "The end of the history that the model knows.",
              inside("trained_to"), *SERIES),
        gauge("training_duration_seconds", "How long the last training of the series took.",
              [(named(record), record["duration_seconds"]) for record in records], *SERIES),
        gauge("series_refused", "Whether the series is not forecast; the API says why.",
              [(named(record), float((*named(record),) in refused)) for record in records],
              *SERIES),
        gauge("training_failed", "Whether the last training failed of a series that could be read.",
              [(named(record), float(record["state"] == "failed")) for record in records], *SERIES),
        failures,
        gauge("last_training_timestamp_seconds", "When a training ended last.",
              [([], head["ended"])]),
        gauge("last_training_success_timestamp_seconds",
              "When a training of the query ended last that had an answer, and something to train;"
              " before one did, when the first began.",
              [([name], at) for name, at in head["queries"].items()], "series"),
        gauge("last_training_duration_seconds", "How long it took.",
              [([], head["ended"] - head["started"])]),
    ])  # fmt: skip


def number(value: float | bool | None) -> float | None:
    """A gauge's value, where there is one."""
    return None if value is None else float(value)
