"""Tables for people, on a terminal."""

from __future__ import annotations

import time


def rows(*lines: tuple[str, ...]) -> str:
    """Cells below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def date(moment: float) -> str:
    """A time, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
