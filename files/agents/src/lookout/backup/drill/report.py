"""The report of a drill: JSON for programs, a page for people, and a page of the history."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lookout.backup.drill import page
from lookout.backup.drill.results import Drill, HostResult, PartResult
from lookout.kit.files import write_atomically

_MODE = 0o640
INDEX, LATEST = "index.html", "latest.json"


def as_data(drill: Drill) -> dict[str, Any]:
    """The drill as JSON's types, with the results that are worked out."""
    return {
        **asdict(drill),
        "result": drill.result,
        "hosts": [_host(host) for host in drill.hosts],
    }


def _host(host: HostResult) -> dict[str, Any]:
    return {
        **asdict(host),
        "result": host.result,
        "restore_seconds": host.restore_seconds,
        "saved": host.saved,
        "parts": [_part(part) for part in host.parts],
    }


def _part(part: PartResult) -> dict[str, Any]:
    return {**asdict(part), "result": part.result}


def write(drill: Drill, folder: Path, keep: int) -> Path:
    """Write the report of a drill, and the history anew; the page. Raises OSError."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    data = as_data(drill)
    # A name of the time sorts as the time does.
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(drill.started))
    text = json.dumps(data, indent=1, sort_keys=True) + "\n"
    write_atomically(folder / f"{name}.json", text, _MODE)
    write_atomically(folder / f"{name}.html", page.of_drill(data), _MODE)
    write_atomically(folder / LATEST, text, _MODE)
    _forget(folder, keep)
    write_atomically(folder / INDEX, page.of_history(history(folder)), _MODE)
    return folder / f"{name}.html"


def _forget(folder: Path, keep: int) -> None:
    for old in sorted(folder.glob("[0-9]*.json"), reverse=True)[keep:]:
        old.with_suffix(".html").unlink(missing_ok=True)
        old.unlink()


def history(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of the reports that are kept, the newest first; a torn one is left out."""
    found = []
    for file in sorted(folder.glob("[0-9]*.json"), reverse=True):
        try:
            found.append((file.stem, json.loads(file.read_bytes())))
        except ValueError:
            continue
    return found


def table(drill: Drill) -> str:
    """The results for people at a terminal."""
    rows: list[tuple[str, ...]] = [("", "HOST", "PART", "DATA OF", "RESTORED", "JUDGED", "WHAT")]
    for host in drill.hosts:
        told = [*host.failures, *host.errors, *host.notes]
        if told or not host.parts:
            rows.append(
                (host.result, host.host, "", "", "", "", "; ".join(told) or "nothing to judge")
            )
        rows += [_row(host.host, part) for part in host.parts]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[6]]
        ).rstrip()
        for row in rows
    )


def _row(host: str, part: PartResult) -> tuple[str, ...]:
    return (
        part.result,
        host,
        part.part,
        page.when(part.saved, short=True),
        page.seconds(part.restore_seconds),
        page.seconds(part.judge_seconds),
        "; ".join((*part.failures, *part.errors, *part.notes)),
    )
