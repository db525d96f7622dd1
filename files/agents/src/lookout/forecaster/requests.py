"""Trainings that were asked for: a file each, written by the API and taken up by a timer."""

from __future__ import annotations

import json
import logging
import re
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from lookout.kit import config
from lookout.kit.config import option
from lookout.kit.files import write_atomically

LOG = logging.getLogger("lookout.forecaster")

ID = r"[0-9a-f]{16}"
ID_BYTES = 8
# That wait, or are being done; whoever asks for more is asked to wait.
MOST_WAITING = 10
# That are done, and are shown still
MOST_KEPT = 50

State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One of them. Times are Unix seconds, 0 for what has not been; no series means all."""

    id: str = option(pattern=ID, must="be sixteen hexadecimal digits")
    client: str
    asked: float
    series: tuple[str, ...] = ()
    state: State = "waiting"
    started: float = 0.0
    ended: float = 0.0
    said: str = ""


class TooManyError(Exception):
    """So many wait that another one is not taken."""


class Requests:
    """The folder of requests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def submit(self, client: str, series: tuple[str, ...], now: float) -> TrainRequest:
        """Put another one there. Raises TooManyError, or OSError."""
        self._folder.mkdir(mode=0o750, exist_ok=True)
        if len(self.unfinished()) >= MOST_WAITING:
            raise TooManyError(f"{MOST_WAITING} trainings wait already")
        request = TrainRequest(
            id=secrets.token_hex(ID_BYTES), client=client, asked=now, series=series
        )
        self.write(request)
        return request

    def get(self, name: str) -> TrainRequest | None:
        """A request by its id."""
        if not re.fullmatch(ID, name):
            return None
        path = self._path(name)
        try:
            return config.load(TrainRequest, path) if path.exists() else None
        except config.ConfigError as error:
            LOG.error("a request for training is left aside: %s", error)
            path.unlink(missing_ok=True)
            return None

    def all(self) -> list[TrainRequest]:
        """All of them, the oldest first."""
        try:
            names = [path.stem for path in self._folder.glob("*.json")]
        except OSError:
            return []
        found = [request for name in names if (request := self.get(name))]
        return sorted(found, key=lambda request: (request.asked, request.id))

    def unfinished(self) -> list[TrainRequest]:
        """Those that wait or are being done."""
        return [request for request in self.all() if request.state in ("waiting", "running")]

    def write(self, request: TrainRequest) -> None:
        """Replace what is known of it. Raises OSError."""
        write_atomically(self._path(request.id), json.dumps(asdict(request)) + "\n", 0o640)

    def become(self, requests: list[TrainRequest], **changes: object) -> list[TrainRequest]:
        """Change all of these. Raises OSError."""
        changed = [replace(request, **changes) for request in requests]  # type: ignore[arg-type]
        for request in changed:
            self.write(request)
        return changed

    def tidy(self) -> None:
        """Forget those that were done long ago."""
        done = [request for request in self.all() if request.state in ("done", "failed")]
        for request in done[:-MOST_KEPT]:
            self._path(request.id).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
