"""Grafana's settings, data sources and database: what is wrong with them, and their files."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_SECTION = re.compile(r"[a-z][a-z0-9_.-]*")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# What a netrc file, an INI file and a TOML string take as it stands.
_PASSWORD = re.compile(r"[!#-&(-\[\]-~]{8,}")
_SOURCE_KEYS = {
    *("uid", "name", "type", "url", "user", "password", "settings", "client_certificate"),
    *("is_default", "file"),
}
_NEEDED = ("uid", "name", "type", "url")

Source = dict[str, Any]


# --- grafana.ini ---


def _ini_value(value: object) -> str:
    """A value as Grafana's INI parser reads it back; # and ; would begin a comment."""
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return f'"""{text}"""' if re.search(r"[#;`\"]|^\s|\s$|\\$", text) else text


def grafana_ini(settings: Mapping[str, Mapping[str, object]]) -> str:
    """`grafana.ini` of a mapping section -> key -> value."""
    lines: list[str] = []
    for section, values in settings.items():
        lines += [f"[{section}]", *(f"{k} = {_ini_value(v)}" for k, v in values.items()), ""]
    return "\n".join(lines)


def grafana_file(path: str) -> str:
    """What Grafana replaces by the content of a file, wherever a value stands."""
    return f"$__file{{{path}}}"


def grafana_setting_problems(
    settings: Mapping[str, Any], owned: Mapping[str, str], variable: str
) -> list[str]:
    """What is wrong with an operator's settings.

    `owned` is `section.key` (or a section) -> what to set in its place.
    """
    problems = []
    for section, values in settings.items():
        if not _SECTION.fullmatch(str(section)) or not isinstance(values, Mapping):
            problems.append(f"{section!r} must be a section of grafana.ini with a mapping of keys")
            continue
        for key, value in values.items():
            name = f"{section}.{key}"
            instead = owned.get(name) or owned.get(str(section))
            if instead:
                problems.append(f"{name} belongs to the role: {instead}")
            elif not _KEY.fullmatch(str(key)):
                problems.append(f"{name!r} is no key of grafana.ini")
            elif isinstance(value, Mapping | list) or re.search(r'[\r\n]|"""|%\(', str(value)):
                problems.append(f'{name} must be a text of one line without """ and %(')
    return [f"{variable}: {problem}." for problem in problems]


def grafana_password_problems(passwords: Mapping[str, str]) -> list[str]:
    """What is wrong with passwords by the name of their variable; none of them is in a sentence."""
    return [
        f"{name} must be 8 or more printable ASCII characters without spaces, quotes and "
        "backslashes: it goes into files of several kinds as it stands."
        for name, value in passwords.items()
        if not _PASSWORD.fullmatch(str(value))
    ]


# --- data sources ---


def grafana_sources_read(files: Sequence[Mapping[str, Any]]) -> list[Source]:
    """The data sources in files as `slurp` returns them (`source`, `content`), each with `file`."""
    found = []
    for file in sorted(files, key=lambda file: str(file["source"])):
        try:
            content = yaml.safe_load(base64.b64decode(file["content"]).decode())
        except (yaml.YAMLError, ValueError):
            content = None
        one = content if isinstance(content, dict) else {}
        found.append({**one, "file": str(file["source"])})
    return found


def grafana_source_problems(sources: Sequence[Source]) -> list[str]:
    """What is wrong with data sources, of a `file` each or the inventory; no password is named."""
    problems = []
    seen: dict[tuple[str, str], str] = {}
    for source in sources:
        where = str(source.get("file", "grafana_extra_data_sources"))
        missing = [key for key in _NEEDED if not source.get(key)]
        unknown = sorted(set(source) - _SOURCE_KEYS)
        if missing or unknown:
            problems += (
                [f"{where}: {', '.join(missing)} missing in a data source."] if missing else []
            )
            problems += [f"{where}: a data source has no {', '.join(unknown)}."] if unknown else []
            continue
        if "$" in str(source.get("password", "")):
            problems.append(f"{where}: Grafana would replace what follows a $ in the password.")
        if not _UID.fullmatch(str(source["uid"])):
            problems.append(f"{where}: uid must be 1 to 40 letters, digits, _ and -.")
        for key in ("uid", "name"):
            other = seen.get((key, str(source[key])))
            if other:
                problems.append(
                    f"{other} and {where}: two data sources with the {key} {source[key]}. Give one "
                    "another; the file of one that is no more has to go."
                )
            seen[key, str(source[key])] = where
    defaults = [str(s.get("uid")) for s in sources if s.get("is_default")]
    if len(defaults) > 1:
        problems.append(f"{', '.join(defaults)}: one data source alone can be the default.")
    return problems


def grafana_sources(
    sources: Sequence[Source], tls: Mapping[str, str], secrets_dir: str
) -> dict[str, Any]:
    """The provisioning file of data sources; Grafana itself reads what is secret from files."""
    made = []
    for source in sources:
        secure: dict[str, str] = {}
        settings = dict(source.get("settings") or {})
        if source.get("password"):
            secure["password"] = grafana_file(f"{secrets_dir}/data_source_{source['uid']}")
        if source.get("client_certificate"):
            settings |= {"tlsAuth": True, "tlsAuthWithCACert": True}
            secure |= {
                "tlsCACert": grafana_file(tls["ca"]),
                "tlsClientCert": grafana_file(tls["certificate"]),
                "tlsClientKey": grafana_file(tls["key"]),
            }
        made.append(
            {
                "uid": source["uid"],
                "name": source["name"],
                "type": source["type"],
                "access": "proxy",
                "orgId": 1,
                "url": source["url"],
                "isDefault": bool(source.get("is_default")),
                "editable": False,
                **({"user": source["user"]} if source.get("user") else {}),
                "jsonData": settings,
                **({"secureJsonData": secure} if secure else {}),
            }
        )
    # With `prune`, a data source that was in this file once and is no longer goes.
    return {"apiVersion": 1, "prune": True, "datasources": made}


def grafana_source_secrets(sources: Sequence[Source]) -> dict[str, str]:
    """Name of a file with a secret -> the secret."""
    return {
        f"data_source_{source['uid']}": str(source["password"])
        for source in sources
        if source.get("password")
    }


# --- the database ---


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            name: function
            for name, function in globals().items()
            if name.startswith("grafana_") and callable(function)
        }
