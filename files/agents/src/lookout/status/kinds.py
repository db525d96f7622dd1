"""From the configuration of a task to an object that can be run."""

from __future__ import annotations

import importlib.util
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from lookout.kit import config
from lookout.status import tasks
from lookout.status.registry import KIND, KINDS, Failed, Task

if TYPE_CHECKING:
    from lookout.status.options import TaskOptions


def build(entry: TaskOptions, classes: Path) -> Task:
    """Make the task. Raises Failed for a kind that is not there, ConfigError for wrong options."""
    cls = kind(entry.kind, classes)
    text = yaml.safe_dump(entry.options)
    return cast(Task, config.parse(cls, text, "options"))


def kind(name: str, classes: Path) -> type[Any]:
    """Return the class of a kind: one of ours, or of a file that the site has put there."""
    if not re.fullmatch(KIND, name):
        raise Failed(f"{name!r} is no name of a kind")
    if name not in KINDS:
        tasks.load(name)
    if name not in KINDS and (classes / f"{name}.py").exists():
        _load(name, classes / f"{name}.py")
    if name not in KINDS:
        known = ", ".join(tasks.BUILT_IN)
        raise Failed(f"there is no kind {name}: known are {known}, and files in {classes}")
    return KINDS[name]


def _load(name: str, file: Path) -> None:
    """Run a file of the site, which has to make the kind known that it is called after."""
    wrong = untrusted(file)
    if wrong:
        raise Failed(wrong)
    spec = importlib.util.spec_from_file_location(f"lookout_site_{name}", file)
    if spec is None or spec.loader is None:
        raise Failed(f"{file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Failed(f"{file} cannot be loaded: {type(error).__name__}: {error}") from error
    if name not in KINDS:
        raise Failed(f'{file} has no class with @task("{name}")')


def untrusted(file: Path, owner: int = 0) -> str:
    """Why a file must not be run: somebody else than root could have written it."""
    for path in (file.parent, file):
        found = path.lstat()
        right = stat.S_ISREG if path == file else stat.S_ISDIR
        if not right(found.st_mode):
            return f"{path} is a link, or no {'file' if path == file else 'directory'}"
        if found.st_uid != owner:
            return f"{path} does not belong to root: it is not run"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{path} can be written by others than root: it is not run"
    return ""
