"""The pages of the reports: one file each, nothing from elsewhere, light and dark, also small."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

Data = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2227; --dim: #5a6670; --line: #d5dbe0;
  --paper: #fff; --box: #f5f7f8; --passed: #18693a; --failed: #a81c1c; --error: #8a5200; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --dim: #9aa6b0; --line: #38424a;
  --paper: #14181b; --box: #1d2327; --passed: #6bcf8f; --failed: #ff8a80; --error: #f0b45a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
p { margin: 0.5rem 0; } .dim { color: var(--dim); } a { color: inherit; }
.result { font-weight: 600; white-space: nowrap; }
.result::before { content: ""; display: inline-block; width: 0.65em; height: 0.65em;
  margin-right: 0.4em; border-radius: 50%; background: currentColor; }
.passed { color: var(--passed); } .failed { color: var(--failed); } .error { color: var(--error); }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 0.45rem 0.6rem 0.45rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: normal; }
th { font-weight: 600; color: var(--dim); } .number { font-variant-numeric: tabular-nums; }
ul { margin: 0; padding-left: 1.1rem; }
.problems { background: var(--box); border-left: 3px solid currentColor; padding: 0.5rem 0.75rem;
  margin: 0.5rem 0; }
.problems li { color: var(--ink); }
@media (max-width: 40rem) {
  thead { display: none; } table, tbody, tr, td { display: block; }
  tr { border-bottom: 1px solid var(--line); padding: 0.5rem 0; }
  td { border: 0; padding: 0.1rem 0; }
  td[data-of]:not(:empty)::before { content: attr(data-of) ": "; color: var(--dim); }
}
"""

_MEANS = {
    "passed": "All that was restored is what was saved.",
    "failed": "A backup is bad: do not count on it.",
    "error": "The drill could not judge a backup: it may be good or bad.",
}
_MEBIBYTE = 1 << 20
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def of_drill(data: Data) -> str:
    """The page of one drill."""
    kind = "of some parts" if data["partial"] else ""
    head = (
        f"<h1>Restore drill {kind}</h1>"
        f"<p>{_result(data['result'])} {escape(_MEANS[data['result']])}</p>"
        f'<p class="dim">On {escape(data["instance"])}, begun {when(data["started"])}, '
        f'took {seconds(data["seconds"])}. <a href="index.html">All drills</a></p>'
    )
    return _page("Restore drill", head + "".join(_host(host, data) for host in data["hosts"]))


def of_history(reports: Sequence[tuple[str, Data]]) -> str:
    """The page that leads to all reports, the newest first."""
    rows = [
        (
            f'<a href="{escape(name)}.html">{when(data["started"], short=True)}</a>',
            _result(data["result"]) + (" (some parts)" if data["partial"] else ""),
            ", ".join(
                f"{escape(host['host'])} {_result(host['result'])}" for host in data["hosts"]
            ),
            seconds(sum(host["restore_seconds"] or 0 for host in data["hosts"])),
            seconds(data["seconds"]),
        )
        for name, data in reports
    ]
    columns = ("Drill (UTC)", "Result", "Hosts", "Time to restore", "Whole drill")
    told = f"<h1>Restore drills</h1><p>The last {len(rows)}, the newest first.</p>"
    return _page("Restore drills", told + _table(columns, rows))


def when(at: float | None, short: bool = False) -> str:
    """A time in UTC; empty where there is none."""
    if at is None:
        return ""
    form = "%Y-%m-%d %H:%M" if short else "%Y-%m-%d %H:%M:%S UTC"
    return time.strftime(form, time.gmtime(at))


def seconds(took: float | None) -> str:
    """A duration for people; empty where there is none."""
    if took is None:
        return ""
    if took < _MINUTE:
        return f"{took:.1f} s"
    if took < 2 * _HOUR:
        return f"{took / _MINUTE:.1f} min"
    return f"{took / _HOUR:.1f} h" if took < 2 * _DAY else f"{took / _DAY:.1f} d"


def _host(host: Data, data: Data) -> str:
    rows = [
        (
            escape(part["part"]),
            _result(part["result"]),
            when(part["saved"], short=True),
            "" if part["bytes"] is None else f"{part['bytes'] / _MEBIBYTE:.1f} MiB",
            seconds(part["restore_seconds"]),
            seconds(part["judge_seconds"]),
            _list(part["notes"]),
        )
        for part in host["parts"]
    ]
    columns = ("Part", "Result", "Data of (UTC)", "Size", "Restored in", "Judged in", "Notes")
    wrong = _problems(host["result"], [*host["failures"], *host["errors"]], "")
    for part in host["parts"]:
        wrong += _problems(part["result"], [*part["failures"], *part["errors"]], part["part"])
    facts = [] if host["parts"] else ["nothing was judged"]
    if host["restore_seconds"] is not None:
        facts.append(f"restored in {seconds(host['restore_seconds'])}")
    if host["saved"] is not None:
        facts.append(f"its oldest data was {seconds(data['started'] - host['saved'])} old")
    return (
        f"<h2>{escape(host['host'])} {_result(host['result'])}</h2>"
        f'<p class="dim">{escape(", ".join(facts))}</p>{wrong}{_list(host["notes"])}'
        + (_table(columns, rows) if rows else "")
    )


def _problems(result: str, problems: Sequence[str], part: str) -> str:
    if not problems:
        return ""
    about = f"<strong>{escape(part)}</strong>" if part else ""
    return f'<div class="problems {escape(result)}">{about}{_list(problems)}</div>'


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _result(result: str) -> str:
    return f'<span class="result {escape(result)}">{escape(result)}</span>'


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; on a phone each cell says its column."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="number" data-of="{escape(column)}">{cell}</td>'
            for column, cell in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _page(title: str, body: str) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>\n"
    )
