"""POST /api/ds/query and the health of data sources: answers as Grafana's data frames."""

from __future__ import annotations

import math
import re
import time
from typing import Any

from .database import Row
from .frames import Frame, field, frame
from .ini import seconds
from .secrets_store import WrongKeyError
from .sources import SourceError, Sources
from .sql import run_sql, table


def moment(text: str, now: float | None = None) -> float:
    """`now`, `now-6h`, `now/d` is not had here, or milliseconds, as seconds since 1970."""
    now = time.time() if now is None else now
    if text.startswith("now"):
        rest = text[3:]
        return now - seconds(rest[1:]) if rest.startswith("-") else now
    return float(text) / 1000


def health(sources: Sources, source: Row) -> tuple[int, dict[str, Any]]:
    """The answer of /api/datasources/uid/…/health and its status."""
    try:
        if source["type"] == "prometheus":
            sources.ask(source, "api/v1/query", query="1+1", time=time.time())
            return 200, {"message": "Successfully queried the Prometheus API.", "status": "OK"}
        if source["type"] == "grafana-postgresql-datasource":
            run_sql(sources, source, "SELECT 1")
            return 200, {"message": "Database Connection OK", "status": "OK"}
    except (SourceError, WrongKeyError) as error:
        return 400, {"message": str(error), "status": "ERROR"}
    # Alertmanager's plug-in has no part in the server that could be asked.
    name = "plugin.unavailable"
    return 500, {"message": "Plugin unavailable", "messageId": name, "statusCode": 500}


def run(
    sources: Sources, source: Row, query: dict[str, Any], start: float, end: float
) -> list[Frame]:
    """The frames of one query; SourceError for what its data source says against it."""
    if source["type"] == "prometheus":
        return _prometheus(sources, source, query, start, end)
    if source["type"] == "grafana-postgresql-datasource":
        return [table(sources, source, query, start, end)]
    raise SourceError(f"{source['type']} has no queries")


def interpolated(text: str, start: float, end: float, step: float) -> str:
    """Prometheus' expression without the variables that Grafana's server fills in."""
    whole = max(1, round(end - start))
    values = {
        "__interval_ms": f"{step * 1000:.0f}", "__interval": f"{step:.0f}s",
        "__rate_interval": f"{max(60.0, step + 15):.0f}s", "__range_ms": f"{whole * 1000}",
        "__range_s": f"{whole}", "__range": f"{whole}s",
    }  # fmt: skip
    for name, value in values.items():
        text = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", value, text)
    return text


def _prometheus(
    sources: Sources, source: Row, query: dict[str, Any], start: float, end: float
) -> list[Frame]:
    ref = str(query.get("refId", "A"))
    points = int(query.get("maxDataPoints") or 1000)
    step = max(float(query.get("intervalMs") or 15000) / 1000, (end - start) / max(points, 1), 1.0)
    expression = interpolated(str(query.get("expr", "")), start, end, step)
    if not expression:
        raise SourceError("query expression is required")
    frames: list[Frame] = []
    if query.get("range", not query.get("instant")):
        said = sources.ask(
            source, "api/v1/query_range", query=expression, start=start, end=end, step=f"{step:.0f}"
        )
        frames += [
            _series(ref, item["metric"], item["values"], "timeseries-multi")
            for item in said["data"]["result"]
        ]
    if query.get("instant"):
        said = sources.ask(source, "api/v1/query", query=expression, time=end)
        result = said["data"]["result"]
        if said["data"]["resultType"] in ("scalar", "string"):
            result = [{"metric": {}, "value": result}]
        frames += [
            _series(ref, item["metric"], [item["value"]], "numeric-multi") for item in result
        ]
    return frames


def _series(ref: str, labels: dict[str, str], points: list[list[Any]], kind: str) -> Frame:
    fields = [
        field("Time", "time", "time.Time", config={"interval": 0}),
        field(
            "Value", "number", "float64", labels=labels, config={"displayNameFromDS": _name(labels)}
        ),
    ]
    values: list[list[Any]] = [
        [int(float(at) * 1000) for at, _ in points],
        [_number(value) for _, value in points],
    ]
    return frame(ref, fields, values, type=kind)


def _name(labels: dict[str, str]) -> str:
    inner = ", ".join(
        f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__"
    )
    name = labels.get("__name__", "")
    return f"{name}{{{inner}}}" if inner or not name else name


def _number(text: Any) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None
