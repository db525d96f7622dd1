"""Collect what the roles bring for another role: alert rules, scrape jobs, dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: role_files
short_description: files of all roles by pattern
description:
  - Returns one mapping of file name to content, of all files C(roles/*/files/<pattern>). The roles
    are those beside the role that asks.
options:
  _terms:
    description: Patterns below C(files/), such as C(alerts/*.yml).
    required: true
author: Lookout
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('role_files', 'alerts/*.yml')` gives `{'node_exporter.yml': '…', …}`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **_: Any
    ) -> list[dict[str, str]]:
        roles = Path(str((variables or {})["role_path"])).parent
        collected = []
        for pattern in terms:
            found: dict[str, Path] = {}
            for file in sorted(roles.glob(f"*/files/{pattern}")):
                if file.name in found:
                    raise AnsibleLookupError(
                        f"{file} and {found[file.name]} have the same name: rename one, as both "
                        "go into one folder"
                    )
                found[file.name] = file
            collected.append({name: file.read_text("utf-8") for name, file in found.items()})
        return collected
