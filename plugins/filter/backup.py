"""Parts of the backup, looked at by the code that reads them on the host."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "files/agents/src"))

from lookout.backup.parts import Part
from lookout.kit import config


def backup_part_problems(text: str, name: str) -> list[str]:
    """What is wrong with the text of a part's file, `name`.yml; nothing if the backup takes it."""
    try:
        part = config.parse(Part, text, f"{name}.yml")
    except config.ConfigError as error:
        return error.problems
    return [] if part.file == f"{name}.yml" else [f"{name}.yml: name: is {part.name}"]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_part_problems": backup_part_problems}
