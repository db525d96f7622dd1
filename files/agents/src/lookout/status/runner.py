"""Runs one thing in a process of its own, and ends that when its time is over."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

LOG = logging.getLogger("lookout.status")

# A process that was killed is gone within this time, or waits for a disk.
END_SECONDS = 5


class Ended(Exception):  # noqa: N818
    """The process did not come to an end by itself; the text says why."""


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, as JSON knows it. Raises Ended when it hangs or dies.

    It is killed with all that it started. The caller has no other threads.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_work, args=(work, receiver, sender))
    child.start()
    sender.close()
    began = time.monotonic()
    try:
        if not receiver.poll(seconds):
            waited = time.monotonic() - began
            raise Ended(f"it was ended after {waited:.0f} seconds without an answer")
        try:
            return json.loads(receiver.recv_bytes())
        except EOFError:
            child.join(END_SECONDS)
            raise Ended(f"its process died: {how(child.exitcode)}") from None
    finally:
        receiver.close()
        _end(child.pid)
        child.join(END_SECONDS)


def _work(work: Callable[[], Any], receiver: Connection, sender: Connection) -> None:
    receiver.close()
    os.setsid()
    sender.send_bytes(json.dumps(work()).encode())
    sender.close()


def _end(pid: int | None) -> None:
    """Kill the process and its children, which are in the group that it leads."""
    if pid is None:
        return
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def how(exit_code: int | None) -> str:
    """Say how a process ended."""
    if exit_code is None:
        return "it does not end"
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit status {exit_code}"
