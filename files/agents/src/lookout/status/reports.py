"""Reports: SQL files with a title, asked once a day on a connection that can change nothing."""

from __future__ import annotations

import csv
import decimal
import io
import logging
import math
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookout.status import runner
from lookout.status.options import ReportOptions, StatusOptions
from lookout.status.records import Result, plain
from lookout.status.registry import NAME, Context, Failed

LOG = logging.getLogger("lookout.status")

Cell = str | int | float | bool | None
CELL_LENGTH = 1000
# What a spreadsheet takes for a formula at the beginning of a cell
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Report:
    """One file: its name, what its first comments say, and the query."""

    name: str
    title: str
    sql: str


def parse(name: str, text: str) -> Report:
    """Read the title out of the comments before the query, as in `-- title: Orders`."""
    title = ""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            break
        found = re.fullmatch(r"\s*--\s*title:\s*(.+?)\s*", line, re.IGNORECASE)
        title = title or (found[1] if found else "")
    query = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    if not query.strip():
        raise Failed("the file holds no query")
    return Report(name, title[:120] or name.replace("-", " ").capitalize(), text)


def files(directory: Path) -> list[Path]:
    """The reports of a folder, by name."""
    return sorted(file for file in directory.glob("*.sql") if re.fullmatch(NAME, file.stem))


def ask(report: Report, options: ReportOptions, context: Context) -> dict[str, Any]:
    """Ask the database; columns, rows up to the limit, and whether there were more."""
    import psycopg2  # noqa: PLC0415 -- 6 MB that the page does not need

    from lookout.status.postgresql import connect, of_sql  # noqa: PLC0415

    try:
        connection = connect(options, context)
        try:
            # A cursor of the server: no more rows come than are asked for.
            with connection.cursor(name="report") as cursor:
                cursor.execute(report.sql)
                rows = cursor.fetchmany(options.most_rows + 1)
                columns = [column.name for column in cursor.description or ()]
        finally:
            connection.close()
    except psycopg2.Error as error:
        return {"error": plain(context.redact(of_sql(error)))}
    return {
        "columns": columns,
        "rows": [[cell(value) for value in row] for row in rows[: options.most_rows]],
        "truncated": len(rows) > options.most_rows,
    }


def cell(value: Any) -> Cell:
    """A value as JSON knows it."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, decimal.Decimal)):
        return float(value) if math.isfinite(value) else str(value)
    text = str(value)
    return text if len(text) <= CELL_LENGTH else f"{text[: CELL_LENGTH - 1]}…"


def run(options: StatusOptions, file: Path) -> Result:
    """Run one report in a process of its own; what goes wrong is in the result."""
    started, began = time.time(), time.monotonic()
    name, title, found = file.stem, file.stem.replace("-", " ").capitalize(), {}
    try:
        if options.reports is None:
            raise Failed("no database is configured for reports")
        report = parse(name, file.read_text(encoding="utf-8"))
        title, access = report.title, options.reports
        context = Context(name, options.database, access.timeout_seconds)
        # The server ends the query itself; this is for a server that does not answer.
        found = runner.within(access.timeout_seconds + 10, lambda: ask(report, access, context))
        error = str(found.get("error", ""))
    except (Failed, runner.Ended, OSError, UnicodeDecodeError) as wrong:
        error = str(wrong)
    duration = time.monotonic() - began
    if error:
        LOG.error("report %s: %s", name, error)
        return Result(name, title, started, duration, False, error)
    rows = tuple(tuple(row) for row in found["rows"])
    LOG.info("report %s: %d rows in %.2f s", name, len(rows), duration)
    return Result(
        name, title, started, duration, True, "", tuple(found["columns"]), rows, found["truncated"]
    )


def guarded(value: Cell) -> Cell:
    """A cell that no spreadsheet runs as a formula."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table as RFC 4180 has it, with a mark that makes spreadsheets read UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([guarded(column) for column in columns])
    writer.writerows([guarded(value) for value in row] for row in rows)
    return "\ufeff" + out.getvalue()
