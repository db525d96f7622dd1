"""Bugsink's projects and their DSNs, which every host of the site can work out by itself."""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,60}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,60}")
_PASSWORD = re.compile(r"[!-~]{8,}")
_KEYS = ("name", "slug", "team", "events")
# Numbers that Bugsink gives to projects of people begin at 1.
_FIRST_ID = 1_000_000_000

Project = dict[str, Any]


def bugsink_project_id(name: str) -> int:
    """The number of a project: one of ten digits that its name alone decides."""
    return _FIRST_ID + zlib.crc32(name.encode()) % _FIRST_ID


def bugsink_key(name: str, seed: str) -> str:
    """The key that events of a project have to show: 32 hexadecimal digits."""
    return hmac.new(seed.encode(), name.encode(), hashlib.sha256).hexdigest()[:32]


def bugsink_dsn(name: str, url: str, seed: str) -> str:
    """The DSN of a project of the Bugsink that is found at `url`."""
    place = urlsplit(url)
    path = place.path.rstrip("/")
    key = bugsink_key(name, seed)
    return f"{place.scheme}://{key}@{place.netloc}{path}/{bugsink_project_id(name)}"


def bugsink_dsns(names: Sequence[str], url: str, seed: str) -> dict[str, str]:
    """name -> DSN."""
    return {name: bugsink_dsn(name, url, seed) for name in names}


def bugsink_projects(
    declared: Sequence[Mapping[str, Any]], seed: str, team: str, events: int
) -> list[Project]:
    """The projects in full, as prepare.py of the role takes them."""
    return [
        {
            "id": bugsink_project_id(project["name"]),
            "key": bugsink_key(project["name"], seed),
            "name": project["name"],
            "slug": project.get("slug") or re.sub(r"[ .]+", "-", project["name"].lower())[:50],
            "team": project.get("team") or team,
            "events": int(project.get("events") or events),
        }
        for project in declared
    ]


def bugsink_declared(
    projects: Sequence[Mapping[str, Any]], reporting: Sequence[str]
) -> list[Mapping[str, Any]]:
    """The projects of the inventory, and one for each program that it says nothing of."""
    named = {project.get("name") for project in projects}
    return [*projects, *({"name": name} for name in reporting if name not in named)]


def bugsink_number_problems(numbers: Mapping[str, Any]) -> list[str]:
    """What is wrong with whole numbers by the name of their variable."""
    return [
        f"{name} must be a whole number from 1 on, got {value!r}"
        for name, value in numbers.items()
        if not isinstance(value, int) or isinstance(value, bool) or value < 1
    ]


def bugsink_password_problems(passwords: Mapping[str, Any]) -> list[str]:
    """What is wrong with passwords by the name of their variable; none of them is in a sentence."""
    return [
        f"{name} must be 8 or more printable ASCII characters without spaces"
        for name, value in passwords.items()
        if not _PASSWORD.fullmatch(str(value))
    ]


def _problems_of(project: Any, variable: str) -> list[str]:
    if not isinstance(project, Mapping) or not _NAME.fullmatch(str(project.get("name", ""))):
        return [
            f"{variable}: a project needs a name of letters, digits, spaces, dots, hyphens and "
            f"underscores, as in {{name: shop}}, got {project!r}"
        ]
    where = f"{variable}: {project['name']}"
    problems = []
    for key in sorted(str(key) for key in set(project) - set(_KEYS)):
        near = difflib.get_close_matches(key, _KEYS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(f"{where}: a project has no {key}{hint}")
    if not _SLUG.fullmatch(str(project.get("slug", "x"))):
        problems.append(
            f"{where}: slug must be of a-z, 0-9, hyphens and underscores, got {project['slug']!r}"
        )
    if not _TEAM.fullmatch(str(project.get("team", "x"))):
        problems.append(f"{where}: team must be a plain name, got {project['team']!r}")
    events = project.get("events", 1)
    if not isinstance(events, int) or isinstance(events, bool) or events < 1:
        problems.append(f"{where}: events must be a whole number from 1 on, got {events!r}")
    return problems


def bugsink_project_problems(declared: Sequence[Any], variable: str) -> list[str]:
    """One sentence for each mistake in the projects of the inventory."""
    problems = [line for project in declared for line in _problems_of(project, variable)]
    if problems:
        return problems
    seen: dict[tuple[str, Any], str] = {}
    for project in bugsink_projects(declared, "", "x", 1):
        for key in ("name", "slug", "id"):
            other = seen.get((key, project[key]))
            if other:
                problems.append(
                    f"{variable}: {other} and {project['name']} have the same {key} "
                    f"{project[key]}: rename one of them"
                )
                break
            seen[key, project[key]] = project["name"]
    return problems


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            name: function
            for name, function in globals().items()
            if name.startswith("bugsink_") and callable(function)
        }
