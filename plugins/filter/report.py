"""Turn what `playbooks/verify.yml` found into a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

SUFFIX = "_verified"


def _rows_of(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What one role found; a role whose checks did not come to an end is a row too."""
    if "rows" in result:
        return list(result["rows"])
    return [{"name": "its checks ran", "ok": False, "detail": str(result.get("msg", "no answer"))}]


def verify_rows(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """All rows of all `<role>_verified` results, with host and role; a silent host is one row."""
    rows = []
    silent = {"role": "-", "name": "the host answers", "ok": False, "detail": "no answer"}
    for host in hosts:
        found = [
            {"host": host, "role": name.removesuffix(SUFFIX), **row}
            for name, result in hostvars[host].items()
            if name.endswith(SUFFIX)
            for row in _rows_of(result)
        ]
        rows += found or [{"host": host, **silent}]
    return rows


def verify_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as text, aligned, what failed last, with a count."""
    ordered = sorted(rows, key=lambda row: (not row["ok"], row["host"], row["role"]))
    columns = ("host", "role", "name")
    widths = {key: max((len(str(row[key])) for row in rows), default=0) for key in columns}
    lines = [
        f"{'ok    ' if row['ok'] else 'FAILED'}  {row['host']:<{widths['host']}}  "
        f"{row['role']:<{widths['role']}}  {row['name']:<{widths['name']}}"
        + ("" if row["ok"] else f"  {row['detail']}")
        for row in ordered
    ]
    good = sum(bool(row["ok"]) for row in rows)
    return "\n".join([*(line.rstrip() for line in lines), f"{good} of {len(rows)} checks hold"])


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"verify_rows": verify_rows, "verify_table": verify_table}
