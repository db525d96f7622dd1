"""Signals that end a drill in good order: what it began is cleaned up, what it found is kept."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The drill was told to end. No `except Exception` on the way may take it for a mistake."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for one in _SIGNALS:
        # Once: a second one would hit what cleans up.
        signal.signal(one, signal.SIG_IGN)
    raise Interrupted(f"the drill was told to end ({signal.Signals(number).name})")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """The first SIGTERM or SIGINT raises Interrupted, wherever the program is."""
    former = {one: signal.signal(one, _interrupt) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)
