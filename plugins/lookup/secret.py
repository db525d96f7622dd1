"""A secret of the site that nobody has to choose: made once, kept on the control node."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: secret
short_description: a generated secret of the site
description:
  - Returns the content of C(secrets/<name>) in the folder of the (first) inventory, and makes it
    where it is missing, 32 random characters, 0600. It is never overwritten; of two runs that make
    it at once one wins, and both use that one. In check mode nothing is written.
options:
  _terms:
    description: Names of secrets.
    required: true
author: Lookout
"""

RANDOM_BYTES = 24  # 192 bits, 32 characters


def read(file: Path) -> str:
    text = file.read_text(encoding="utf-8").strip()
    if not text:
        raise AnsibleLookupError(
            f"{file} is empty: put the secret back from a backup, or delete the file to have a new "
            "one made"
        )
    return text


def make(file: Path) -> str:
    """Write a new secret under a temporary name and link it to its own, which fails if taken."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(secrets.token_urlsafe(RANDOM_BYTES) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        with contextlib.suppress(FileExistsError):  # somebody else was first
            os.link(fresh, file)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
    finally:
        fresh.unlink()
    return read(file)


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('secret', 'tls_authority_passphrase')`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **_: Any) -> list[str]:
        known = variables or {}
        source = Path(str(known["ansible_inventory_sources"][0]))
        folder = (source if source.is_dir() else source.parent) / "secrets"
        found = []
        for name in terms:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
                raise AnsibleLookupError(f"{name!r} is no name of a secret: a-z, 0-9, _ . -")
            file = folder / name
            if file.exists():
                found.append(read(file))
            elif known.get("ansible_check_mode"):
                found.append(secrets.token_urlsafe(RANDOM_BYTES))
            else:
                found.append(make(file))
        return found
