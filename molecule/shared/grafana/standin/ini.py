"""grafana.ini as a file: sections and pairs by the rules of ini.v1, `$__file{…}`, durations."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

VARIABLE = re.compile(r"\$(|__\w+)\{([^}]+)\}")
DURATION = re.compile(r"(\d+)(ms|[smhdwMy])")
UNITS = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "M": 2.592e6,
    "y": 3.1536e7,
}

Sections = dict[str, dict[str, str]]


class RefusedError(Exception):
    """What Grafana does not start with; the message says why, as Grafana's does."""


def parse(text: str, name: str) -> Sections:
    """The sections of an INI file by the rules of the library that Grafana uses (ini.v1).

    A `#` or `;` inside of a value starts a comment unless the value stands in triple quotes or
    backticks. A line that is neither comment, section nor pair is an error.
    """
    sections: Sections = {"DEFAULT": {}}
    section = sections["DEFAULT"]
    lines = iter(text.lstrip("\ufeff").splitlines())
    for raw in lines:
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            if "]" not in line:
                raise RefusedError(f"failed to parse {name!r}: unclosed section: {line}")
            section = sections.setdefault(line[1 : line.rindex("]")], {})
            continue
        found = re.match(r"([^=:]+?)\s*[=:]\s*(.*)", line)
        if not found:
            raise RefusedError(f"failed to parse {name!r}: key-value delimiter not found: {line}")
        section[found[1].strip("\"'`")] = _value(found[2], lines, name)
    return sections


def _value(raw: str, lines: Iterator[str], name: str) -> str:
    for quote in ('"""', "`"):
        if raw.startswith(quote):
            rest = raw[len(quote) :]
            for more in lines if quote not in rest else ():
                rest += "\n" + more
                if quote in more:
                    break
            if quote not in rest:
                raise RefusedError(f"failed to parse {name!r}: missing closing key quote: {quote}")
            return rest[: rest.rindex(quote)]
    value = re.split(r"[#;]", raw, maxsplit=1)[0].strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def expand(value: str) -> str:
    """Replace `$__env{…}`, `${…}`, then `$__file{…}`; a file that cannot be read is an OSError."""

    def environment(found: re.Match[str]) -> str:
        if found[1] not in ("", "__env"):
            return found[0]
        if found[2] == "HOSTNAME":
            return os.environ.get("HOSTNAME") or socket.gethostname()
        return os.environ.get(found[2], "")

    def file(found: re.Match[str]) -> str:
        return (
            Path(found[2]).read_text(encoding="utf-8").strip() if found[1] == "__file" else found[0]
        )

    return VARIABLE.sub(file, VARIABLE.sub(environment, value))


def seconds(text: str) -> float:
    """A duration (`10m`, `7d`, `1h30m`) in seconds; ValueError for what is none."""
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"time: invalid duration {text!r}")
    return float(sum(int(number) * UNITS[unit] for number, unit in parts))
