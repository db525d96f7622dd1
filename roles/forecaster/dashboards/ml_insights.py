"""ML Insights: what is forecast, what is unusual, and how far the models are to be relied on."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import BLUE, GREEN, GREY, ORANGE, RED, WHOLE, graph, number, states
from tools.dashboards.page import TARGET, page, row, variable
from tools.dashboards.tables import Column, table

P = "lookout_forecast"
CHOSEN = f'{TARGET},series=~"$series",target=~"$target"'
EACH = "series, target"
HOUR, DAY = 3600, 86400

ANOMALIES = {"0": ("as expected", GREEN), "1": ("anomaly", ORANGE)}
SKILL = {"1": ("better than yesterday", GREEN), "0": ("a guess", GREY)}
REFUSED = {"0": ("forecast", GREEN), "1": ("refused", ORANGE)}
ANSWERED = {"0": ("answered", GREEN), "1": ("failed", RED)}


def each(what: str, chosen: str = CHOSEN) -> str:
    """A figure of every series, by default of those that are chosen."""
    return f"max by ({EACH}) ({P}_{what}{{{chosen}}})"


def one(what: str, more: str = "") -> str:
    """A figure of the series that is drawn; the first one where several are chosen."""
    return f"avg({P}_{what}{{{CHOSEN}{more}}})"


def ahead(horizon: str, name: str) -> list[tuple[str, str]]:
    """What was forecast for a moment, drawn where it belongs: at that moment."""
    wanted = f',horizon="{horizon}"'
    return [
        (f"avg({P}_value{{{CHOSEN}{wanted}}} offset {horizon})", f"forecast {name} before"),
    ]


def dashboard() -> Dashboard:
    return page(
        "ml-insights",
        "ML Insights",
        "What is forecast, what is unusual, and how far the models are to be relied on.",
        team="data-science",
        job="forecaster",
        hours=48,
        variables=[
            variable(
                "series",
                "Series",
                f"label_values({P}_skilled{{{TARGET}}}, series)",
                several=False,
            ),
            variable(
                "target",
                "Target",
                f'label_values({P}_skilled{{{TARGET},series=~"$series"}}, target)',
            ),
        ],
        content=[
            row("At a glance"),
            number(
                "Anomalies now",
                "Series that are outside of what is expected of this moment.",
                "short",
                (f"sum({P}_anomaly{{{TARGET}}})", "anomalies"),
                alerts=["ForecastAnomaly"],
                one_is=ORANGE,
                decimals=0,
            ),
            number(
                "Next bound",
                "Until the first line crosses its bound, such as a disk's size.",
                "h",
                (f"min({P}_bound_seconds{{{TARGET}}}) / {HOUR} < Inf", "until"),
                limits=["forecast_bound_warning_hours", "forecast_bound_critical_hours"],
                empty="none within two weeks",
            ),
            number(
                "Models that are a guess",
                "No better than repeating yesterday: they raise no anomaly.",
                "short",
                (f"sum(1 - {P}_skilled{{{TARGET}}})", "guesses"),
                decimals=0,
            ),
            number(
                "Last forecasts",
                "They are made every five minutes.",
                "m",
                (f"(time() - max({P}_last_run_timestamp_seconds{{{TARGET}}})) / 60", "since"),
                limits=["forecast_run_age_minutes"],
                decimals=0,
            ),
            row("$series $target"),
            graph(
                "Measured and expected",
                "The line is what was measured, the band what was expected then, by what was known "
                "before; a point is an anomaly. The mean of all targets where several are chosen.",
                "short",
                (one("measured"), "measured"),
                (one("now_expected"), "expected"),
                (one("now_lower"), "lowest expected"),
                (one("now_upper"), "highest expected"),
                (f"avg({P}_measured{{{CHOSEN}}} and {P}_anomaly{{{CHOSEN}}} == 1)", "anomaly"),
                alerts=["ForecastAnomaly"],
                colours={
                    "measured": BLUE,
                    "expected": GREY,
                    "lowest expected": ORANGE,
                    "highest expected": ORANGE,
                    "anomaly": RED,
                },
                band=("lowest expected", "highest expected"),
                marks="anomaly",
                from_zero=False,
                width=WHOLE,
                height=10,
            ),
            states(
                "Anomalies",
                "When each series was outside of what was expected.",
                (each("anomaly"), "{{series}} {{target}}"),
                ANOMALIES,
                alerts=["ForecastAnomaly"],
                height=5,
            ),
            graph(
                "Forecasts and what came",
                "What was forecast for each moment an hour, six hours and a day before it.",
                "short",
                (one("measured"), "measured"),
                *ahead("1h", "an hour"),
                *ahead("6h", "six hours"),
                *ahead("24h", "a day"),
                alerts=["ForecastInaccurate"],
                colours={"measured": BLUE},
                from_zero=False,
            ),
            graph(
                "What comes",
                "The forecast from each moment for six hours later, with the band that holds nine "
                "of ten values.",
                "short",
                (one("value", ',horizon="6h"'), "in six hours"),
                (one("lower", ',horizon="6h"'), "lowest"),
                (one("upper", ',horizon="6h"'), "highest"),
                colours={"in six hours": BLUE, "lowest": ORANGE, "highest": ORANGE},
                band=("lowest", "highest"),
                from_zero=False,
            ),
            graph(
                "How unusual",
                "From 1 on it is an anomaly.",
                "short",
                (each("anomaly_score"), "{{series}} {{target}}"),
                alerts=["ForecastAnomaly"],
            ),
            graph(
                "Until a bound is crossed",
                "By the forecast itself. Nothing is drawn where it is not crossed in two weeks.",
                "h",
                (
                    f"min by ({EACH}, bound) ({P}_bound_seconds{{{CHOSEN}}}) / {HOUR} < Inf",
                    "{{target}} {{bound}}",
                ),
                (
                    f"min by ({EACH}, bound) ({P}_bound_earliest_seconds{{{CHOSEN}}})"
                    f" / {HOUR} < Inf",
                    "{{target}} {{bound}}, earliest",
                ),
                limits=["forecast_bound_warning_hours", "forecast_bound_critical_hours"],
            ),
            row("Models"),
            table(
                "Quality of the models",
                "Of all series. Error: of the backtest, as a share of the error of repeating "
                "yesterday. Inside: how many values the 90 % bands held. Lately: the error of the "
                "last forecasts, as a multiple of the backtest's.",
                [
                    Column("Now", each("anomaly", TARGET), values=ANOMALIES),
                    Column("Model", each("skilled", TARGET), values=SKILL),
                    Column("Error", each("error_ratio", TARGET), "percentunit", decimals=0),
                    Column("MASE", each("mase", TARGET), decimals=2),
                    Column("Inside", each("coverage_ratio", TARGET), "percentunit", decimals=0),
                    Column(
                        "Lately",
                        f"max by ({EACH}) (avg_over_time({P}_recent_error_ratio{{{TARGET}}}[6h]))",
                        limits=["forecast_error_ratio"],
                        decimals=1,
                    ),
                    Column(
                        "Age",
                        f"(time() - min by ({EACH})"
                        f" ({P}_model_trained_timestamp_seconds{{{TARGET}}})) / {DAY}",
                        "d",
                        ["forecast_model_age_days"],
                        decimals=1,
                    ),
                    Column("Training", each("training_duration_seconds", TARGET), "s", decimals=0),
                    Column("Series", each("series_refused", TARGET), values=REFUSED),
                ],
                alerts=["ForecastTrainingFailed", "ForecastInaccurate"],
                keys=("series", "target"),
                height=12,
            ),
            number(
                "Last training",
                "Of the query for which it is longest ago; every model is trained each night.",
                "h",
                (
                    f"(time() - min({P}_last_training_success_timestamp_seconds{{{TARGET}}}))"
                    f" / {HOUR}",
                    "since",
                ),
                limits=["forecast_training_age_hours"],
                decimals=1,
            ),
            number(
                "It took",
                "All series together.",
                "s",
                (f"max({P}_last_training_duration_seconds{{{TARGET}}})", "training"),
            ),
            number(
                "Failed trainings",
                "Within a day.",
                "short",
                (f"sum(increase({P}_training_failures_total{{{TARGET}}}[1d]))", "failed"),
                alerts=["ForecastTrainingFailed"],
                one_is=ORANGE,
                decimals=0,
            ),
            number(
                "Series",
                "That are forecast.",
                "short",
                (f"sum({P}_series{{{TARGET}}})", "series"),
                alerts=["ForecastSeriesOverLimit"],
                decimals=0,
            ),
            states(
                "Queries",
                "Whether Prometheus answered each of them.",
                (f"max by (series) ({P}_query_failed{{{TARGET}}})", "{{series}}"),
                ANSWERED,
                alerts=["ForecastQueryFailed"],
            ),
            row("API"),
            graph(
                "Requests",
                "By what was answered.",
                "reqps",
                (f"sum by (code) (rate(lookout_api_requests_total{{{TARGET}}}[5m]))", "{{code}}"),
                stacked=True,
            ),
            graph(
                "Requests that were not let in",
                "By the reason.",
                "reqps",
                (
                    f"sum by (reason) (rate(lookout_api_refused_requests_total{{{TARGET}}}[5m]))",
                    "{{reason}}",
                ),
                stacked=True,
            ),
            table(
                "Tokens",
                "Of each client, the newest.",
                [
                    Column(
                        "Expires in",
                        "(min by (client) (lookout_api_token_expires_timestamp_seconds"
                        f"{{{TARGET}}}) - time()) / {DAY}",
                        "d",
                        ["forecast_token_days"],
                        decimals=0,
                    ),
                ],
                alerts=["ForecastTokensBroken"],
                keys=("client",),
            ),
        ],
    )
