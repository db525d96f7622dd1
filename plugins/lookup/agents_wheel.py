"""Build the wheel of the agents on the control node, once for each state of their sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: agents_wheel
short_description: the wheel of lookout-agents
description:
  - Returns C(path) of the wheel on the control node and C(digest), which stands for the sources it
    was made of. It is made below C(.cache/agents) of the repository when it is not there.
options:
  _terms:
    description: Folder of the distribution.
    required: true
author: Lookout
"""

BUILD_SECONDS = 60
# Enough that two states of the sources never share one
DIGEST_LENGTH = 12


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('agents_wheel', 'files/agents')` gives `{path: …, digest: …}`."""

    def run(
        self, terms: list[str], _variables: dict[str, Any] | None = None, **_: Any
    ) -> list[dict[str, str]]:
        return [wheel(Path(term).resolve()) for term in terms]


def wheel(source: Path) -> dict[str, str]:
    """Path and digest of the wheel; AnsibleLookupError with the fix where it cannot be made."""
    files = [source / "pyproject.toml", *sorted((source / "src").rglob("*"))]
    digest = hashlib.sha256()
    for file in files:
        if file.is_file() and file.suffix != ".pyc":
            digest.update(f"{file.relative_to(source)}\0".encode() + file.read_bytes() + b"\0")
    name = digest.hexdigest()[:DIGEST_LENGTH]
    made = source.parents[1] / ".cache/agents" / name
    if not made.is_dir():
        build(source, made)
    return {"path": str(next(made.glob("*.whl"))), "digest": name}


def build(source: Path, made: Path) -> None:
    """Build beside the final place, and rename: several hosts may ask at once."""
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        out = Path(folder, "wheel")
        out.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "flit_core.wheel", str(source), "--outdir", str(out)],
            # The same sources make the same wheel, byte by byte.
            env={**os.environ, "SOURCE_DATE_EPOCH": "1577836800"},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
        if done.returncode != 0:
            raise AnsibleLookupError(
                f"the wheel of {source} cannot be built: {done.stderr.strip()[-500:]}\n"
                f"It needs flit_core in {sys.executable}: pip install -r requirements.txt"
            )
        try:
            out.rename(made)
        except OSError:
            if not made.is_dir():
                raise
