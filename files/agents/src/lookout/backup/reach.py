"""The store as a host reaches it: is it well, and which repository is there."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lookout.backup.options import BackupOptions
from lookout.backup.restic import Repository, ssh
from lookout.backup.sources import commands

log = logging.getLogger("lookout.backup")
T = TypeVar("T")

# Of ssh itself: no connection, or not the host or the key that it should be
_NOT_CONNECTED = 255
_NOT_LET_IN = re.compile(r"Permission denied|[Hh]ost key verification failed|HOST IDENTIFICATION")
_ANSWER_SECONDS = 60


class StoreError(Exception):
    """Why nothing can be saved at the store now, in words for who is called."""


class UnreachableError(StoreError):
    """The store did not answer: it may the next time."""


@dataclass(frozen=True)
class Status:
    """What the store says of itself to one host."""

    mounted: bool
    free_bytes: int
    size_bytes: int
    repository: bool


def patiently(
    what: Callable[[], T],
    passes: Callable[[Exception], bool],
    pauses: Sequence[float],
    sleep: Callable[[float], None] = time.sleep,
    waits: Callable[[Exception], bool] = lambda _: False,
) -> T:
    """What `what` returns, asked again after each of the pauses where the failure may pass.

    And after the last one again and again, as long as `waits` says so of it.
    """
    left = iter(pauses)
    pause = None
    while True:
        try:
            return what()
        except Exception as error:
            pause = next(left, pause if waits(error) else None) if passes(error) else None
            if pause is None:
                raise
            log.warning("%s; once more in %.0f s", error, pause)
        sleep(pause)


class Client:
    """The store, asked by ssh."""

    def __init__(self, options: BackupOptions, pauses: Sequence[float] = ()) -> None:
        self._options = options
        self._pauses = pauses

    def repository(self, host: str) -> Repository:
        """The repository of a host."""
        return Repository(self._options, host)

    def status(self, host: str) -> Status:
        """What the store says; asked again where it cannot be reached. Raises StoreError."""
        return patiently(
            lambda: self._ask(host),
            lambda error: isinstance(error, UnreachableError),
            self._pauses,
        )

    def free_bytes(self, host: str) -> int | None:
        """Free space of the store, asked once; None where it does not say."""
        try:
            return self._ask(host).free_bytes
        except StoreError:
            return None

    def _ask(self, host: str) -> Status:
        address = self._options.store.address
        try:
            done = subprocess.run(
                ssh(self._options.store, f"status {host}"),
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=_ANSWER_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(
                f"the store {address} did not answer within {_ANSWER_SECONDS} s"
            ) from error
        said = commands.said(done.stderr)
        if done.returncode == _NOT_CONNECTED and _NOT_LET_IN.search(done.stderr):
            raise StoreError(
                f"the store {address} does not take this host's key, or is not it: {said}"
            )
        if done.returncode == _NOT_CONNECTED:
            raise UnreachableError(f"the store {address} cannot be reached: {said}")
        if done.returncode != 0:
            raise StoreError(f"the store {address} refused: {said}")
        return status_of(done.stdout)


def status_of(text: str) -> Status:
    """The answer of the store. Raises StoreError where it is none."""
    try:
        answer = json.loads(text)
        return Status(
            bool(answer["mounted"]),
            int(answer["free_bytes"]),
            int(answer["size_bytes"]),
            bool(answer["repository"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the store's answer cannot be read: {text[:200]!r}") from error
