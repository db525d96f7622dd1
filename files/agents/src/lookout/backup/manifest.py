"""The manifest beside the data of a part: what was saved, and what a drill compares with."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookout import __version__
from lookout.backup.parts import Part
from lookout.backup.sources import Facts
from lookout.kit import config
from lookout.kit.files import write_atomically

NAME = "manifest.json"
FORMAT = 1


class ManifestError(Exception):
    """Why a manifest cannot be believed."""


@dataclass(frozen=True)
class Manifest:
    """What a snapshot of one part holds."""

    part: Part
    # The host's name in the inventory
    host: str
    # When the run began that made it, seconds since 1970
    run: float
    # Facts by source
    facts: dict[str, Facts]
    release: str = ""
    lookout: str = __version__
    format: int = field(default=FORMAT)

    def write(self, stage: Path) -> None:
        """Write it into the stage, beside the folders of the sources."""
        data = dataclasses.asdict(self)
        text = json.dumps(data, default=str, sort_keys=True, indent=1)
        write_atomically(stage / NAME, text + "\n", 0o600)


def read(stage: Path) -> Manifest:
    """The manifest of a restored stage. Raises ManifestError."""
    try:
        return parse((stage / NAME).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{NAME} cannot be read: {error!r}") from error


def parse(text: str) -> Manifest:
    """The manifest in a text. Raises ManifestError."""
    try:
        data: Any = json.loads(text)
        if data["format"] != FORMAT:
            raise ManifestError(f"it has format {data['format']}, and this program reads {FORMAT}")
        part = config.build(Part, data["part"], NAME)
        return Manifest(
            part=part,
            host=str(data["host"]),
            run=float(data["run"]),
            facts={str(name): dict(facts) for name, facts in data["facts"].items()},
            release=str(data["release"]),
            lookout=str(data["lookout"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{NAME} cannot be read: {error!r}") from error
    except config.ConfigError as error:
        raise ManifestError(f"{NAME} is damaged: {error}") from error
