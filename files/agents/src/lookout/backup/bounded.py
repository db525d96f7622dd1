"""Work with a time limit: in a process of its own, which is ended with all that it started."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

log = logging.getLogger("lookout.backup")

# prctl(2)
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)

_BLOCK_BYTES = 65536
# What was killed is gone within so long, unless it hangs in the kernel.
_END_SECONDS = 10.0


class BoundedError(Exception):
    """The work was ended at its limit, or broke down."""


def bounded(work: Callable[[], Any], timeout_seconds: float) -> Any:
    """What `work` returns, in JSON's types, if it is done in time. Raises BoundedError.

    To be called while there is one thread alone, as the process is forked. What the work leaves
    running is ended, too; and so is the work when this process is killed.
    """
    # Whoever leaves the group of the work still comes to this process as an orphan.
    _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    parent = os.getpid()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(work, writing, parent)
    os.close(writing)
    try:
        said = _read(reading, time.monotonic() + timeout_seconds)
    finally:
        os.close(reading)
        _end_group(child)
        _end_orphans()
    if said is None:
        raise BoundedError(f"it took longer than {timeout_seconds:.0f} s, and was ended")
    if not said:
        raise BoundedError("it was ended from outside, or broke down: the log says more")
    return json.loads(said)


def _work(work: Callable[[], Any], writing: int, parent: int) -> NoReturn:
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
        _libc.prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os.killpg(0, signal.SIGKILL)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(work()).encode())
        status = 0
    except BaseException:
        log.exception("the work broke down")
    finally:
        # Nothing of the parent's is to be done a second time.
        os._exit(status)


def _read(reading: int, until: float) -> bytes | None:
    """All that is written before the other end is closed; None where that takes too long."""
    found = b""
    poll = select.poll()
    poll.register(reading, select.POLLIN | select.POLLHUP)
    while (left := until - time.monotonic()) > 0:
        if not poll.poll(min(left, 3600) * 1000):
            continue
        block = os.read(reading, _BLOCK_BYTES)
        if not block:
            return found
        found += block
    return None


def _end_group(leader: int) -> None:
    """End a child and its process group at once."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    with suppress(ProcessLookupError):
        # It may not have become the leader yet.
        os.kill(leader, signal.SIGKILL)
    _bury(leader, time.monotonic() + _END_SECONDS)


def _end_orphans() -> None:
    children = Path("/proc/self/task", str(os.getpid()), "children")
    until = time.monotonic() + _END_SECONDS
    # The children of those who are ended arrive here in turn.
    while found := children.read_text(encoding="ascii").split():
        for pid in map(int, found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _bury(pid, until)
        if time.monotonic() >= until:
            log.warning("processes that hang in the kernel remain: %s", ", ".join(found))
            return


def _bury(pid: int, until: float) -> None:
    """Wait for a child that was killed; not for ever, as what hangs in the kernel does not end."""
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < until:
            time.sleep(0.01)
