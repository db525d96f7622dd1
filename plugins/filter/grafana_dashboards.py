"""Grafana's folders and dashboards: what is wrong with them, and the files that they make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ROLES = ("Viewer", "Editor")
_FOLDER_KEYS = {"title", "view", "edit"}


# --- folders ---


def grafana_folder_problems(folders: Mapping[str, Any], variable: str) -> list[str]:
    """What is wrong with folders by name, each with `title`, and roles that `view` and `edit`."""
    problems = []
    for name, folder in folders.items():
        if not re.fullmatch(r"[a-z0-9-]{1,30}", str(name)):
            problems.append(f"{name!r} must be of a-z, 0-9 and hyphens")
        elif not isinstance(folder, Mapping) or not folder.get("title"):
            problems.append(f"{name} needs a title, as in {{title: Infrastructure}}")
        else:
            if set(folder) - _FOLDER_KEYS:
                problems.append(f"{name} has no {', '.join(sorted(set(folder) - _FOLDER_KEYS))}")
            roles = [*(folder.get("view") or []), *(folder.get("edit") or [])]
            problems += [
                f"{name}: {role!r} is no role; Viewer and Editor are, and an Admin may all"
                for role in roles
                if role not in _ROLES
            ]
    titles = [str(f.get("title")) for f in folders.values() if isinstance(f, Mapping)]
    problems += [
        f"two folders are called {t}" for t in sorted({t for t in titles if titles.count(t) > 1})
    ]
    return [f"{variable}: {problem}." for problem in problems]


def grafana_permissions(folder: Mapping[str, Any]) -> dict[str, int]:
    """Role -> Grafana's number of what it may do in a folder (1 view, 2 edit)."""
    view, edit = folder.get("view", ["Viewer"]), folder.get("edit", ["Editor"])
    return {**dict.fromkeys(view, 1), **dict.fromkeys(edit, 2)}


def grafana_permissions_wrong(
    answers: Sequence[Mapping[str, Any]], folders: Mapping[str, Any]
) -> list[str]:
    """Folders whose permissions differ, from the answers of `uri` (`item`: the folder's name).

    What somebody gave to a single user or a team counts as a difference; what administrators may
    do everywhere does not. A question that was skipped has no answer.
    """
    wrong = []
    for answer in (answer for answer in answers if "json" in answer):
        items = [i for i in answer["json"] if i.get("role") != "Admin" and not i.get("inherited")]
        found = {i["role"]: i["permission"] for i in items if i.get("role")}
        others = [i for i in items if not i.get("role")]
        if others or found != grafana_permissions(folders[answer["item"]]):
            wrong.append(str(answer["item"]))
    return wrong


# --- dashboards ---


def _dashboard(name: str, text: str) -> tuple[dict[str, Any], str]:
    """A dashboard, and what is wrong with it."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        return {}, f"{name}, line {error.lineno}, column {error.colno}: {error.msg}"
    if not isinstance(found, dict) or not isinstance(found.get("panels"), list):
        return {}, f"{name} is no dashboard: a JSON object with `panels` is needed"
    if not _UID.fullmatch(str(found.get("uid", ""))):
        return found, f"{name}: uid must be 1 to 40 of a-z, 0-9, _ and -, got {found.get('uid')!r}"
    if not str(found.get("title", "")).strip():
        return found, f"{name} has no title"
    if "__inputs" in found:
        return found, f"{name} was exported for sharing: export it without `for sharing externally`"
    return found, ""


def _folder_of(dashboard: Mapping[str, Any], folders: Mapping[str, Any]) -> list[str]:
    return [tag for tag in dashboard.get("tags") or [] if tag in folders]


def grafana_dashboard_problems(files: Mapping[str, str], folders: Mapping[str, Any]) -> list[str]:
    """What is wrong with dashboards by file name, with the line where one is no JSON."""
    problems = []
    seen: dict[tuple[str, str], str] = {}
    for name, text in files.items():
        dashboard, problem = _dashboard(name, text)
        if not problem and not re.fullmatch(r"[A-Za-z0-9_.-]+\.json", name):
            problem = f"{name} must end in .json, in plain characters"
        tags = _folder_of(dashboard, folders)
        if not problem and len(tags) != 1:
            problem = f"{name} needs one tag that is a folder, of {', '.join(folders)}; got {tags}"
        if problem:
            problems.append(f"Dashboard {problem}.")
            continue
        for key, where in (("uid", ""), ("title", tags[0])):
            other = seen.setdefault((f"{key} {where}", str(dashboard[key])), name)
            if other != name:
                problems.append(
                    f"Dashboards {other} and {name} have the same {key} {dashboard[key]!r}."
                )
    return problems


def grafana_dashboard_files(files: Mapping[str, str], folders: Mapping[str, Any]) -> dict[str, str]:
    """Path below the tree -> content; dashboards that do not hold together are left out."""
    found = {}
    for name, text in files.items():
        dashboard, problem = _dashboard(name, text)
        for tag in [] if problem else _folder_of(dashboard, folders)[:1]:
            found[f"dashboards/{tag}/{name}"] = text
    return found


def grafana_providers(
    paths: Sequence[str], folders: Mapping[str, Any], place: str
) -> dict[str, Any]:
    """The provisioning file of dashboards: a provider for each folder that has some."""
    used = sorted({path.split("/")[1] for path in paths})
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": f"lookout-{name}",
                "orgId": 1,
                "folder": folders[name]["title"],
                "folderUid": f"lookout-{name}",
                "type": "file",
                "disableDeletion": False,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 60,
                "options": {"path": f"{place}/{name}"},
            }
            for name in used
        ],
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            name: function
            for name, function in globals().items()
            if name.startswith("grafana_") and callable(function)
        }
