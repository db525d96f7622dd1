"""The manifest beside the data of a part: what was saved, and what a drill compares with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
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
    """The manifest of a restored stage. Raises ManifestError, also where a link leads out of it.

    Whoever broke into a host may have made its backup: what is restored and judged elsewhere, as
    root, must not be found or written where such a link leads.
    """
    if (stage / NAME).is_symlink():
        raise ManifestError(f"{NAME} is a link")
    try:
        found = parse((stage / NAME).read_text(encoding="utf-8"))
        strange = next(_links(stage, {_top(stage, path) for path in found.part.paths}), None)
    except (OSError, ValueError) as error:
        raise ManifestError(f"{NAME} cannot be read: {error!r}") from error
    if strange:
        raise ManifestError(f"{strange.relative_to(stage)} is a link, which no backup has there")
    return found


def _top(stage: Path, path: Path) -> Path:
    return stage / "files" / path.relative_to("/")


def _links(folder: Path, tops: set[Path]) -> Iterator[Path]:
    """Links that are not of the saved paths themselves, or below one of them."""
    for path in sorted(folder.iterdir()):
        if path in tops:
            continue
        if path.is_symlink():
            yield path
        elif path.is_dir():
            yield from _links(path, tops)


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
