"""Queries to a PostgreSQL data source: its macros, and its rows as a data frame."""

from __future__ import annotations

import datetime
import decimal
import json
import re
from typing import Any

from .database import Row
from .frames import Frame, field, frame
from .ini import seconds
from .sources import SourceError, Sources


def run_sql(
    sources: Sources, source: Row, statement: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of a statement; SourceError with PostgreSQL's words against it."""
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
    """The macros that a dashboard is likely to use; as in Grafana they end at the first bracket."""

    def stamp(at: float) -> str:
        when = datetime.datetime.fromtimestamp(at, datetime.UTC)
        return f"'{when.strftime('%Y-%m-%dT%H:%M:%SZ')}'"

    def bucket(found: re.Match[str]) -> str:
        column, width = (part.strip().strip("'\"") for part in found[2].split(",")[:2])
        inner = f"floor(extract(epoch from {column})/{seconds(width):.0f})*{seconds(width):.0f}"
        return inner + (' AS "time"' if found[1] == "timeGroupAlias" else "")

    text = re.sub(r"\$__(timeGroupAlias|timeGroup)\(([^)]+)\)", bucket, text)
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


def table(sources: Sources, source: Row, query: dict[str, Any], start: float, end: float) -> Frame:
    """The rows of a query as one frame, a field a column."""
    statement = macros(str(query.get("rawSql", "")), start, end)
    if not statement.strip():
        raise SourceError("query expression is required")
    names, rows = run_sql(sources, source, statement)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    made = [_column(name, column) for name, column in zip(names, columns, strict=True)]
    fields, values = [about for about, _ in made], [column for _, column in made]
    return frame(str(query.get("refId", "A")), fields, values, executedQueryString=statement)


def _column(name: str, column: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """A column as a field and its values; a number called `time` is seconds since 1970."""
    sample = next((value for value in column if value is not None), None)

    def each(change: Any) -> list[Any]:
        return [None if value is None else change(value) for value in column]

    if isinstance(sample, bool):
        return field(name, "boolean", "bool"), column
    if isinstance(sample, datetime.datetime):
        return field(name, "time", "time.Time"), each(lambda v: int(v.timestamp() * 1000))
    if isinstance(sample, (int, float, decimal.Decimal)) and name == "time":
        return field(name, "time", "time.Time"), each(lambda v: int(v * 1000))
    if isinstance(sample, (int, float, decimal.Decimal)):
        return field(name, "number", "float64"), each(float)
    return field(name, "string", "string"), each(str)
