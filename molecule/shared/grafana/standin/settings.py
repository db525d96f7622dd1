"""grafana.ini as Grafana reads it: layers, expansion, and what makes it refuse to start.

defaults.ini < `cfg:default.…` arguments < the configuration file < environment < `cfg:…`
arguments. An empty value in the configuration file leaves the default as it is.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

VARIABLE = re.compile(r"\$(|__\w+)\{([^}]+)\}")
REFERENCE = re.compile(r"%\(([^)]+)\)s")
DURATION = re.compile(r"(\d+)(ms|[smhdwMy])")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}  # fmt: skip
TRUE = {"1", "t", "true", "yes", "y", "on"}
FALSE = {"0", "f", "false", "no", "n", "off"}

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
    for line in lines:
        line = line.strip()
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


def _value(raw: str, lines: Iterable[str], name: str) -> str:
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


class Settings:
    """All sections, merged and expanded, with the few values that are needed everywhere."""

    def __init__(self, sections: Sections, home: Path) -> None:
        self.sections, self.home = sections, home
        url = self.text("server", "root_url")
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise RefusedError(f"invalid root_url {url!r}: {error}") from None
        self.app_url = url if url.endswith("/") else f"{url}/"
        self.sub_path = parts.path.rstrip("/")
        self.serve_from_sub_path = self.true("server", "serve_from_sub_path")
        self.data = self.path("paths", "data")
        self.provisioning = self.path("paths", "provisioning")
        self._validate()

    def text(self, section: str, key: str, default: str = "") -> str:
        raw = self.sections.get(section, {}).get(key, "")
        return self._interpolated(section, raw) or default

    def _interpolated(self, section: str, raw: str) -> str:
        """`%(domain)s` of ini.v1: another key of the section, or of the top of the file."""
        own, top = self.sections.get(section, {}), self.sections["DEFAULT"]
        for _ in range(99):
            found = REFERENCE.search(raw)
            if not found or (found[1] not in own and found[1] not in top):
                break
            raw = raw.replace(found[0], own.get(found[1], top.get(found[1], "")))
        return raw

    def true(self, section: str, key: str) -> bool:
        """A boolean; what is none counts as false, silently, as most of them do in Grafana."""
        return self.text(section, key).lower() in TRUE

    def number(self, section: str, key: str, default: int) -> int:
        text = self.text(section, key)
        return int(text) if text.lstrip("-").isdigit() else default

    def duration(self, section: str, key: str) -> float:
        try:
            return seconds(self.text(section, key))
        except ValueError as error:
            raise RefusedError(f"invalid [{section}] {key}: {error}") from None

    def path(self, section: str, key: str) -> Path:
        return self.home / self.text(section, key)

    def _validate(self) -> None:
        minimum = self.text("server", "min_tls_version", "TLS1.2")
        if minimum not in ("TLS1.2", "TLS1.3"):
            raise RefusedError(
                f"TLS version not configured correctly: {minimum}, allowed values are TLS1.2 and TLS1.3"
            )
        kind = self.text("database", "type")
        if kind not in ("sqlite3", "postgres"):
            raise RefusedError(
                f"unknown database type: {kind} (the stand-in has sqlite3, postgres)"
            )
        for key in ("login_maximum_inactive_lifetime_duration", "login_maximum_lifetime_duration"):
            self.duration("auth", key)
        alerting = self.text("unified_alerting", "enabled")
        if alerting and alerting.lower() not in TRUE | FALSE:
            raise RefusedError(
                f"invalid value {alerting}, should be either true or false for [unified_alerting] enabled"
            )


def load(
    home: Path, config: Path | None, arguments: Iterable[str], environment: Mapping[str, str]
) -> Settings:
    """Read all layers; RefusedError or OSError where Grafana exits at the start."""
    defaults = home / "conf/defaults.ini"
    sections = parse(defaults.read_text(encoding="utf-8"), str(defaults))
    given = [a.removeprefix("cfg:").partition("=") for a in arguments if a.startswith("cfg:")]
    for name, _, value in given:
        if name.startswith("default."):
            _set(sections, name.removeprefix("default."), value)
    if config is None and (home / "conf/custom.ini").exists():
        config = home / "conf/custom.ini"
    if config is not None:
        for section, pairs in parse(config.read_text(encoding="utf-8"), str(config)).items():
            target = sections.setdefault(section, {})
            target.update({key: value for key, value in pairs.items() if value})
    for section, pairs in sections.items():
        for key in pairs:
            name = re.sub(
                r"[.-]", "_", f"GF_{section}_{key}".replace("DEFAULT_", "DEFAULT_")
            ).upper()
            if environment.get(name):
                pairs[key] = environment[name]
    for name, _, value in given:
        if not name.startswith("default."):
            _set(sections, name, value)
    for section, pairs in sections.items():
        for key, value in pairs.items():
            try:
                pairs[key] = expand(value)
            except OSError as error:
                raise RefusedError(f"got error while expanding {section}.{key}: {error}") from None
    return Settings(sections, home)


def _set(sections: Sections, name: str, value: str) -> None:
    section, _, key = name.rpartition(".")
    sections.setdefault(section or "DEFAULT", {})[key] = value
