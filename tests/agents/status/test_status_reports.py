"""Reports: their titles, and what of them a spreadsheet gets."""

from __future__ import annotations

import csv
import decimal
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.status import reports
from lookout.status.options import StatusOptions
from lookout.status.registry import Failed

CELL = st.none() | st.booleans() | st.integers() | st.text(max_size=12)


def test_the_title_stands_in_the_first_comments() -> None:
    found = reports.parse("orders", "\n-- about: x\n--  Title:  Orders by day \nSELECT 1")
    assert found.title == "Orders by day"
    assert reports.parse("orders-by-day", "SELECT 1\n-- title: late").title == "Orders by day"
    with pytest.raises(Failed, match="no query"):
        reports.parse("orders", "-- title: Orders\n\n")


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=6))
def test_no_cell_of_a_file_is_a_formula(rows: list[list[reports.Cell]]) -> None:
    text = reports.to_csv(["=name", "b"], rows)
    read = [*csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))]
    assert len(read) == len(rows) + 1
    assert read[0] == ["'=name", "b"]
    for row, given_row in zip(read[1:], rows, strict=True):
        for cell, value in zip(row, given_row, strict=True):
            negative = isinstance(value, int) and not isinstance(value, bool) and value < 0
            assert negative or not cell.startswith(reports.FORMULA)
            assert cell.removeprefix("'") == ("" if value is None else str(value)).removeprefix("'")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (decimal.Decimal("1.50"), 1.5),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (b"x", "b'x'"),
        ("y" * 2000, "y" * 999 + "…"),
    ],
)
def test_a_value_is_kept_as_json_has_it(value: object, kept: reports.Cell) -> None:
    assert reports.cell(value) == kept


def test_a_report_that_fails_is_a_result(options: StatusOptions, tmp_path: Path) -> None:
    file = tmp_path / "orders.sql"
    file.write_text("SELECT 1", encoding="utf-8")
    assert reports.run(options, file).message == "no database is configured for reports"
    file.write_bytes(b"\xff\xfe")
    assert not reports.run(replace(options), file).ok
    (tmp_path / "Not A Report.sql").write_text("", encoding="utf-8")
    assert reports.files(tmp_path) == [file]
