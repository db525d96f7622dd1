"""The file of tokens, which root writes, and the note of which were used, which the API writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from lookout.kit import config
from lookout.kit.files import write_atomically
from lookout.tokens.slots import TokenSet

FILE_MODE = 0o640


def read(path: Path) -> TokenSet:
    """The tokens. A file that is not there has none. Raises ConfigError."""
    if not path.exists():
        return TokenSet(())
    return config.load(TokenSet, path)


def write(path: Path, held: TokenSet) -> None:
    """Replace the file as a whole, for the group of its folder to read. Raises OSError."""
    tokens = [{key: value for key, value in asdict(one).items() if value} for one in held.tokens]
    write_atomically(path, json.dumps({"tokens": tokens}, indent=1) + "\n", FILE_MODE)


def read_used(path: Path) -> dict[str, float]:
    """When each token was used first, by id. What cannot be read is nothing: it is noted anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: float(at)
        for name, at in found.items()
        if isinstance(at, (int, float)) and not isinstance(at, bool)
    }


def write_used(path: Path, used: Mapping[str, float]) -> None:
    """Note it. Raises OSError."""
    write_atomically(path, json.dumps(used), 0o644)
