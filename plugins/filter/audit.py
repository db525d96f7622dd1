"""The report of `playbooks/audit.yml`: who may do what, and what of it needs a look.

A role hands over rows with `kind`, `name` and `may` (what it may do), and where they apply `since`
and `until` (dates), `declared` (whether the inventory says so; none where it has no word for it),
`finding` (a sentence with its fix), `renew` (the fix for one that ends) and `oldest_days`.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SUFFIX = "_audited"
# As long before its end as the alerts on certificates begin
EXPIRING_DAYS = 20
KEYS = ("host", "role", "kind", "name", "may", "since", "until", "declared", "finding")
WIDEST = 64
DECLARED = {True: "declared", False: "NOT DECLARED", None: ""}

Row = dict[str, Any]


def _days(since: str, until: str) -> int:
    return (datetime.date.fromisoformat(until) - datetime.date.fromisoformat(since)).days


def _of_age(row: Mapping[str, Any], today: str) -> list[str]:
    """What the dates of a row say."""
    since, until = str(row.get("since") or "")[:10], str(row.get("until") or "")[:10]
    renew = row.get("renew", "Renew it, or take it away.")
    found = []
    if until and until < today:
        found.append(f"It ended on {until}. {renew}")
    elif until and _days(today, until) < EXPIRING_DAYS:
        found.append(f"It ends on {until}. {renew}")
    oldest = row.get("oldest_days")
    if oldest and since and _days(since, today) > oldest:
        found.append(f"It is {_days(since, today)} days old. {renew}")
    return found


def _row(host: str, role: str, row: Mapping[str, Any], today: str) -> Row:
    """One row, complete, and nothing else than what KEYS names."""
    findings = [str(row["finding"])] if row.get("finding") else []
    return {
        "host": host,
        "role": role,
        **{key: str(row.get(key) or "") for key in ("kind", "name", "may")},
        **{key: str(row.get(key) or "")[:10] for key in ("since", "until")},
        "declared": row.get("declared"),
        "finding": " ".join(findings + _of_age(row, today)),
    }


def _unread(name: str, why: str) -> Row:
    return {"kind": "part", "name": name, "may": "unknown", "finding": why}


def _of_part(host: str, role: str, result: Any, today: str) -> list[Row]:
    """The rows of a role; a part that could not be read is one, and no reason to be quiet."""
    if isinstance(result, Mapping) and "rows" in result:
        return [_row(host, role, row, today) for row in result["rows"]]
    why = str(result.get("msg")) if isinstance(result, Mapping) else "its tasks did not run"
    row = _unread(
        role,
        f"This part could not be read ({why.rstrip('.')}). Run site.yml for this host if it is "
        "new, or this with --limit and -vv to see more.",
    )
    return [_row(host, role, row, today)]


def audit_rows(
    hostvars: Mapping[str, Any],
    hosts: Sequence[str],
    parts: Sequence[Mapping[str, str]],
    groups: Mapping[str, Sequence[str]],
    today: str,
) -> list[Row]:
    """All rows of all `<role>_audited` results, by host and in the order of `parts`.

    `parts` says which `role` is audited on which `group`, `today` is a date in ISO form.
    """
    rows = []
    for host in hosts:
        wanted = [part["role"] for part in parts if host in groups.get(part["group"], [])]
        results = {role: hostvars[host].get(role + SUFFIX) for role in wanted}
        if not any(results.values()):
            silent = "It does not answer, and nobody knows who may do what there. Run this again."
            rows.append(_row(host, "-", {**_unread(host, silent), "kind": "host"}, today))
            continue
        for role, result in results.items():
            rows += _of_part(host, role, result, today)
    return rows


def _dates(row: Row) -> str:
    words = [f"since {row['since']}"] if row["since"] else []
    words += [f"until {row['until']}"] if row["until"] else []
    return ", ".join(words)


def audit_text(rows: Sequence[Row], today: str) -> str:
    """The report as text: who may do what, host by host, and then what needs a look."""
    cells = [
        (row["role"], row["kind"], row["name"], row["may"], _dates(row), DECLARED[row["declared"]])
        for row in rows
    ]
    # A long one must not push all others out of sight.
    widths = [min(max(map(len, column)), WIDEST) for column in zip(*cells, strict=True)]
    lines = [f"Who may do what, {today}"]
    host = None
    for row, texts in zip(rows, cells, strict=True):
        if row["host"] != host:
            host = row["host"]
            lines += ["", host]
        mark = "!" if row["finding"] else " "
        padded = (f"{text:<{width}}" for text, width in zip(texts, widths, strict=True))
        lines.append(f"{mark} {'  '.join(padded)}")
    findings = [row for row in rows if row["finding"]]
    lines += ["", f"{len(findings)} of {len(rows)} rows need a look" + (":" if findings else "")]
    for row in findings:
        lines.append(f"  {row['host']}, {row['role']}, {row['kind']} {row['name']}:")
        lines.append(f"      {row['finding']}")
    return "\n".join(line.rstrip() for line in lines)


def audit_json(rows: Sequence[Row], today: str) -> str:
    """The same as JSON: `date`, `rows`, and the number of `findings`."""
    report = {
        "date": today,
        "findings": sum(bool(row["finding"]) for row in rows),
        "rows": [{key: row[key] for key in KEYS} for row in rows],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"audit_rows": audit_rows, "audit_text": audit_text, "audit_json": audit_json}
