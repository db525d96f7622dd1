"""The SQL files of a folder on the control node, for the module postgresql_migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: migrations
short_description: contents of the SQL files of a folder, by name
description:
  - Returns one mapping a folder, name to content, of its files C(*.sql). A folder that is missing
    or holds none is a mistake, and so is a file that is no UTF-8.
options:
  _terms:
    description: Folders on the control node; a relative one is searched as Ansible does.
    required: true
author: Lookout
"""


def read_folder(folder: Path) -> dict[str, str]:
    """Name -> content of the SQL files of a folder."""
    if not folder.is_dir():
        raise AnsibleLookupError(f"migrations: there is no folder {folder}")
    found = {}
    for file in sorted(folder.glob("*.sql")):
        try:
            found[file.name] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise AnsibleLookupError(f"migrations: {file} is no UTF-8: {error}") from None
    if not found:
        raise AnsibleLookupError(f"migrations: {folder} holds no .sql file")
    return found


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('migrations', inventory_dir ~ '/migrations/spots')`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **_: Any
    ) -> list[dict[str, str]]:
        known = variables or {}
        return [
            read_folder(Path(self.find_file_in_search_path(known, "files", term, True) or term))
            for term in terms
        ]
