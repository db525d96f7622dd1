"""grafana.ini as Grafana reads it: its layers, and what makes Grafana refuse to start.

defaults.ini < `cfg:default.…` arguments < the configuration file < environment < `cfg:…`
arguments. An empty value in the configuration file leaves the default as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .ini import RefusedError, Sections, expand, parse, seconds

REFERENCE = re.compile(r"%\(([^)]+)\)s")
TRUE = {"1", "t", "true", "yes", "y", "on"}
FALSE = {"0", "f", "false", "no", "n", "off"}


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
        """A duration in seconds; 0 where none is set."""
        try:
            return seconds(self.text(section, key, "0s"))
        except ValueError as error:
            raise RefusedError(f"invalid [{section}] {key}: {error}") from None

    def path(self, section: str, key: str) -> Path:
        return self.home / self.text(section, key)

    def _validate(self) -> None:
        minimum = self.text("server", "min_tls_version", "TLS1.2")
        if minimum not in ("TLS1.2", "TLS1.3"):
            raise RefusedError(
                f"TLS version not configured correctly: {minimum}, "
                "allowed values are TLS1.2 and TLS1.3"
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
                f"invalid value {alerting}, should be either true or false: "
                "[unified_alerting] enabled"
            )


def load(
    home: Path, config: Path | None, arguments: Iterable[str], environment: Mapping[str, str]
) -> Settings:
    """Read all layers; RefusedError or OSError where Grafana exits at the start."""
    defaults = home / "conf/defaults.ini"
    sections = parse(defaults.read_text(encoding="utf-8"), str(defaults))
    given = [a.removeprefix("cfg:").partition("=") for a in arguments if a.startswith("cfg:")]
    values = {name: value for name, _, value in given}
    if wrong := [name for name, _, value in given if "=" in value]:
        raise RefusedError(f"Invalid command line argument: {wrong[0]}")
    for name in (name for name in values if name.startswith("default.")):
        _set(sections, name.removeprefix("default."), values[name])
    if config is None and (home / "conf/custom.ini").exists():
        config = home / "conf/custom.ini"
    if config is not None:
        for section, pairs in parse(config.read_text(encoding="utf-8"), str(config)).items():
            target = sections.setdefault(section, {})
            target.update({key: value for key, value in pairs.items() if value})
    for section, key in _keys(sections):
        variable = re.sub(r"[.-]", "_", f"GF_{section}_{key}").upper()
        sections[section][key] = environment.get(variable) or sections[section][key]
    for name in (name for name in values if not name.startswith("default.")):
        _set(sections, name, values[name])
    for section, key in _keys(sections):
        try:
            sections[section][key] = expand(sections[section][key])
        except OSError as error:
            raise RefusedError(f"got error while expanding {section}.{key}: {error}") from None
    return Settings(sections, home)


def _keys(sections: Sections) -> list[tuple[str, str]]:
    return [(section, key) for section, pairs in sections.items() for key in pairs]


def _set(sections: Sections, name: str, value: str) -> None:
    """Only a setting that a file has: Grafana ignores the others."""
    section, _, key = name.rpartition(".")
    if key in sections.get(section or "DEFAULT", {}):
        sections[section or "DEFAULT"][key] = value
