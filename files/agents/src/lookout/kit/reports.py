"""Messages and exceptions for Sentry, sent by a short-lived child so that the agent stays small.

sentry-sdk adds some 18 MiB to a program for good, and the agents have something to say a few times
a year. The child (`lookout.kit.send_report`) gets the DSN and the event on its standard input.
"""

from __future__ import annotations

import json
import linecache
import logging
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from lookout import __version__
from lookout.kit.options import ErrorOptions

log = logging.getLogger("lookout.kit.reports")

MOST_WAITING = 100
Event = dict[str, Any]


class Reports:
    """Takes what an agent has to say, sends it from a thread, and never fails its caller."""

    def __init__(
        self,
        program: str,
        instance: str,
        options: ErrorOptions,
        dsn: str | None,
        registry: CollectorRegistry,
    ) -> None:
        self._head: Event = {
            "logger": f"lookout.{program}",
            "platform": "python",
            "server_name": instance,
            "release": f"lookout-agents@{__version__}",
            "environment": options.environment,
        }
        self._options = options
        self._dsn = dsn
        self._waiting: queue.Queue[Event] = queue.Queue(MOST_WAITING)
        self._sent_at: list[float] = []
        self._failing = False
        self._thread: threading.Thread | None = None
        self._sent = Counter("agent_reports_sent", "Reports that Sentry took.", registry=registry)
        self._lost = Counter(
            "agent_reports_lost",
            "Reports that did not arrive: unreachable, or more than the limit a minute.",
            ["reason"],
            registry=registry,
        )
        for reason in ("unreachable", "limit"):
            self._lost.labels(reason)

    def message(
        self,
        text: str,
        level: str = "error",
        fingerprint: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Report a text. `level` is Sentry's: debug, info, warning, error, fatal.

        Reports of one `fingerprint` are one issue there; without it Sentry groups by the text.
        """
        event: Event = {"level": level, "logentry": {"formatted": text}, "tags": dict(tags or {})}
        if fingerprint:
            event["fingerprint"] = [*fingerprint]
        self._queue(event)

    def exception(self, error: BaseException, tags: Mapping[str, str] | None = None) -> None:
        """Report an exception with its causes and the code around its frames, without variables."""
        values = [_value(one) for one in _chain(error)]
        values.reverse()  # Sentry wants the oldest first.
        self._queue({"level": "error", "exception": {"values": values}, "tags": dict(tags or {})})

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is sent or lost, before a program ends; says whether that came in time."""
        until = time.monotonic() + timeout_seconds
        while self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.02)
        return not self._waiting.unfinished_tasks

    def _queue(self, event: Event) -> None:
        if not self._dsn:
            return
        now = time.monotonic()
        self._sent_at = [at for at in self._sent_at if at > now - 60]
        if len(self._sent_at) >= self._options.limit_per_minute or self._waiting.full():
            self._lost.labels("limit").inc()
            return
        self._sent_at.append(now)
        self._waiting.put({**self._head, "timestamp": time.time(), **event})
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="reports", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            event = self._waiting.get()
            why = self._send(event)
            if why is None:
                self._sent.inc()
            else:
                self._lost.labels("unreachable").inc()
            if why and not self._failing:
                log.warning("reports do not arrive, the agent goes on: %s", why)
            elif why is None and self._failing:
                log.info("reports arrive again")
            self._failing = why is not None
            self._waiting.task_done()

    def _send(self, event: Event) -> str | None:
        """Why the event did not arrive; None when it did."""
        ca = str(self._options.ca) if self._options.ca else None
        order = {
            "dsn": self._dsn,
            "ca": ca,
            "timeout_seconds": self._options.timeout_seconds,
            "event": event,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "lookout.kit.send_report"],
                input=json.dumps(order),
                capture_output=True,
                text=True,
                # Its start on a busy host comes on top.
                timeout=self._options.timeout_seconds + 30,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the sender failed: {type(error).__name__}"
        return None if done.returncode == 0 else done.stderr.strip()[-300:] or "no reason was given"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, then its cause, as a trace tells it; a ring of causes ends."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _value(error: BaseException) -> Event:
    frames = [_frame(*step) for step in traceback.walk_tb(error.__traceback__)]
    return {
        "type": type(error).__name__,
        "module": type(error).__module__,
        "value": str(error),
        "stacktrace": {"frames": frames},
    }


def _frame(frame: Any, line: int) -> Event:
    file, module = frame.f_code.co_filename, frame.f_globals.get("__name__", "")
    lines = [linecache.getline(file, number).rstrip("\n") for number in range(line - 3, line + 4)]
    return {
        "filename": file,
        "function": frame.f_code.co_name,
        "module": module,
        "lineno": line,
        "pre_context": lines[:3],
        "context_line": lines[3],
        "post_context": lines[4:],
        "in_app": module.startswith("lookout"),
    }
