"""What a check says, and how checks run: side by side, each with a time limit of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class CheckError(Exception):
    """A check could not judge: what it needs does not answer. The text is for people."""


@dataclass(frozen=True)
class Result:
    """The verdict on one thing. `problem` is empty where all is well; `detail` is what was seen."""

    check: str
    name: str
    problem: str = ""
    detail: str = ""
    alert: bool = True

    @property
    def failing(self) -> bool:
        """Whether something is wrong."""
        return bool(self.problem)

    @property
    def key(self) -> str:
        """What the state file and `skip` call it, such as `unit/nginx.service`."""
        return f"{self.check}/{self.name}"


@dataclass(frozen=True)
class Check:
    """Something to judge. `subjects` are the verdicts that are due, should it say nothing."""

    subjects: tuple[Result, ...]
    limit_seconds: float
    judge: Callable[[], tuple[Result, ...]]

    def gives_up(self, why: str) -> tuple[Result, ...]:
        """The verdicts on all its subjects when it could not judge them."""
        return tuple(
            Result(subject.check, subject.name, why, alert=subject.alert)
            for subject in self.subjects
        )


def _judge(check: Check) -> tuple[Result, ...]:
    try:
        return check.judge()
    except CheckError as error:
        return check.gives_up(str(error))
    except Exception as error:
        # One check's mistake must not end the others.
        return check.gives_up(f"the check itself failed: {type(error).__name__}: {error}")


def run_all(checks: Sequence[Check], workers: int) -> tuple[Result, ...]:
    """Judge all checks, at most `workers` side by side; the verdicts come in the checks' order.

    A check that is past its limit is given up on and its place goes to the next one. Its thread is
    a daemon, which does not keep the program from ending.
    """
    done: queue.SimpleQueue[tuple[int, tuple[Result, ...]]] = queue.SimpleQueue()
    verdicts: dict[int, tuple[Result, ...]] = {}
    running: dict[int, float] = {}
    waiting = list(enumerate(checks))[::-1]

    def work(index: int, check: Check) -> None:
        done.put((index, _judge(check)))

    while waiting or running:
        while waiting and len(running) < workers:
            index, check = waiting.pop()
            running[index] = time.monotonic() + check.limit_seconds
            threading.Thread(target=work, args=(index, check), daemon=True).start()
        try:
            index, results = done.get(timeout=max(0.0, min(running.values()) - time.monotonic()))
        except queue.Empty:
            late = [index for index, until in running.items() if until <= time.monotonic()]
            for index in late:
                limit = checks[index].limit_seconds
                verdicts[index] = checks[index].gives_up(f"no verdict within {limit:g} s")
                del running[index]
            continue
        # An answer that comes after its check was given up on is not wanted any more.
        if running.pop(index, None) is not None:
            verdicts[index] = results
    return tuple(result for index in range(len(checks)) for result in verdicts[index])
