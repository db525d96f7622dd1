"""POST /api/ds/query and the health of data sources: answers as Grafana's data frames."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import time
from typing import Any

from .database import Row
from .secrets_store import WrongKeyError
from .settings import seconds
from .sources import SourceError, Sources

Frame = dict[str, Any]


def moment(text: str, now: float | None = None) -> float:
    """`now`, `now-6h`, `now/d` is not had here, or milliseconds, as seconds since 1970."""
    now = time.time() if now is None else now
    if text.startswith("now"):
        rest = text[3:]
        return now - seconds(rest[1:]) if rest.startswith("-") else now
    return float(text) / 1000


def frame(ref: str, fields: list[dict[str, Any]], values: list[list[Any]], **meta: object) -> Frame:
    schema: dict[str, Any] = {"refId": ref, "fields": fields}
    if meta:
        schema["meta"] = meta
    return {"schema": schema, "data": {"values": values}}


def field(name: str, kind: str, go: str, **more: object) -> dict[str, Any]:
    return {"name": name, "type": kind, "typeInfo": {"frame": go}, **more}


def health(sources: Sources, source: Row) -> tuple[int, dict[str, Any]]:
    """The answer of /api/datasources/uid/…/health and its status."""
    try:
        if source["type"] == "prometheus":
            sources.ask(source, "api/v1/query", query="1+1", time=time.time())
            return 200, {"message": "Successfully queried the Prometheus API.", "status": "OK"}
        if source["type"] == "grafana-postgresql-datasource":
            _sql(sources, source, "SELECT 1")
            return 200, {"message": "Database Connection OK", "status": "OK"}
    except (SourceError, WrongKeyError) as error:
        return 400, {"message": str(error), "status": "ERROR"}
    # Alertmanager's plug-in has no part in the server that could be asked.
    return 404, {"message": "Plugin not found", "messageId": "plugin.notFound", "statusCode": 404}


def run(
    sources: Sources, source: Row, query: dict[str, Any], start: float, end: float
) -> list[Frame]:
    """The frames of one query; SourceError for what its data source says against it."""
    if source["type"] == "prometheus":
        return _prometheus(sources, source, query, start, end)
    if source["type"] == "grafana-postgresql-datasource":
        return [_table(sources, source, query, start, end)]
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
    values = [[int(float(at) * 1000) for at, _ in points], [_number(value) for _, value in points]]
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


# --- PostgreSQL ---


def _sql(sources: Sources, source: Row, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    options = json.loads(source["json_data"])
    host, _, port = (
        source["url"].rpartition(":") if ":" in source["url"] else (source["url"], "", "5432")
    )
    wanted = {
        "sslmode": options.get("sslmode", "require"), "sslrootcert": options.get("sslRootCertFile"),
        "sslcert": options.get("sslCertFile"), "sslkey": options.get("sslKeyFile"),
    }  # fmt: skip
    # A server without such a data source starts without the PostgreSQL library.
    from . import postgres  # noqa: PLC0415

    try:
        return postgres.query(
            statement, host=host, port=port, dbname=options.get("database") or source["db"],
            user=source["username"], password=sources.secrets(source).get("password", ""),
            **{key: value for key, value in wanted.items() if value},
        )  # fmt: skip
    except postgres.Error as error:
        raise SourceError(f"db query error: {str(error).strip()}") from None


def macros(text: str, start: float, end: float) -> str:
    """The macros of Grafana's PostgreSQL data source that a dashboard is likely to use."""

    def stamp(at: float) -> str:
        when = datetime.datetime.fromtimestamp(at, datetime.UTC)
        return f"'{when.strftime('%Y-%m-%dT%H:%M:%SZ')}'"

    def bucket(found: re.Match[str]) -> str:
        column, width = (part.strip().strip("'\"") for part in found[2].split(",")[:2])
        inner = f"floor(extract(epoch from {column})/{seconds(width):.0f})*{seconds(width):.0f}"
        return inner + (' AS "time"' if found[1] == "timeGroupAlias" else "")

    text = re.sub(r"\$__(timeGroupAlias|timeGroup)\(([^()]*(?:\([^()]*\))?[^()]*)\)", bucket, text)
    text = re.sub(
        r"\$__timeFilter\(([^)]+)\)",
        lambda m: f"{m[1]} BETWEEN {stamp(start)} AND {stamp(end)}",
        text,
    )
    text = re.sub(r"\$__time\(([^)]+)\)", r'\1 AS "time"', text)
    text = re.sub(
        r"\$__unixEpochFilter\(([^)]+)\)",
        lambda m: f"{m[1]} >= {start:.0f} AND {m[1]} <= {end:.0f}",
        text,
    )
    return text.replace("$__timeFrom()", stamp(start)).replace("$__timeTo()", stamp(end))


def _table(sources: Sources, source: Row, query: dict[str, Any], start: float, end: float) -> Frame:
    statement = macros(str(query.get("rawSql", "")), start, end)
    if not statement.strip():
        raise SourceError("query expression is required")
    names, rows = _sql(sources, source, statement)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    fields, values = [], []
    for name, column in zip(names, columns, strict=True):
        sample = next((value for value in column if value is not None), None)
        if isinstance(sample, bool):
            fields.append(field(name, "boolean", "bool"))
        elif isinstance(sample, (int, float, decimal.Decimal)):
            column = [None if value is None else float(value) for value in column]
            epoch = name == "time"
            fields.append(
                field(name, "time" if epoch else "number", "time.Time" if epoch else "float64")
            )
            if epoch:
                column = [None if value is None else int(value * 1000) for value in column]
        elif isinstance(sample, datetime.datetime):
            column = [None if value is None else int(value.timestamp() * 1000) for value in column]
            fields.append(field(name, "time", "time.Time"))
        else:
            column = [None if value is None else str(value) for value in column]
            fields.append(field(name, "string", "string"))
        values.append(column)
    return frame(str(query.get("refId", "A")), fields, values, executedQueryString=statement)
