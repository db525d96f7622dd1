"""The models, a file each, named by the id of their series.

`python -m lookout.forecaster.jobs.shelf FOLDER` loads each of them, as the backup asks of its copy.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from pathlib import Path

from lookout.forecaster import store
from lookout.forecaster.identity import ID_CHARACTERS
from lookout.forecaster.model import Model
from lookout.forecaster.options import DAY_SECONDS
from lookout.forecaster.store import ModelError

LOG = logging.getLogger("lookout.forecaster")

SUFFIX = ".json"
# A series that comes back after a while has its model still.
FORGET_SECONDS = 30 * DAY_SECONDS


class Shelf:
    """The folder of the models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> Model | None:
        """The model of a series; None where it has none. Raises ModelError."""
        path = self._path(name)
        try:
            return store.load(path, name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from error

    def save(self, name: str, model: Model) -> None:
        """Put a model in the place of the former one. Raises OSError or ValueError."""
        store.save(self._path(name), name, model)

    def prune(self, kept: set[str], now: float) -> None:
        """Forget models whose series has been gone for a month."""
        for path in self.files():
            if path.stem not in kept and now - path.stat().st_mtime > FORGET_SECONDS:
                LOG.info("the model %s is forgotten: its series is gone", path.stem)
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()

    def files(self) -> list[Path]:
        """The files of all models."""
        name = re.compile(rf"[0-9a-f]{{{ID_CHARACTERS}}}\{SUFFIX}")
        return sorted(path for path in self._folder.iterdir() if name.fullmatch(path.name))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{SUFFIX}"


def check(folder: Path) -> list[str]:
    """What is wrong with the models in a folder, which may be a copy of it."""
    shelf, wrong = Shelf(folder), []
    for path in shelf.files():
        try:
            shelf.load(path.stem)
        except ModelError as error:
            wrong.append(str(error))
    return wrong


def main(folder: Path) -> int:
    """Say what is wrong with them."""
    try:
        wrong = check(folder)
    except OSError as error:
        wrong = [f"{folder}: {error.strerror}"]
    print("\n".join(wrong) or "all models can be loaded")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
