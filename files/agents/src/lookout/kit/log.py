"""Logging to the journal and to a file, neither of which can stop an agent.

Levels have the names INFO, WARN, ERROR and DEBUG.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lookout.kit.options import LogOptions

# Syslog's numbers (sd-daemon(3)); the journal takes them off the line.
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


def setup(program: str, options: LogOptions, on_failure: Callable[[], None]) -> None:
    """Set the root logger up anew; `on_failure` is called for each line that the file refused."""
    logging.addLevelName(logging.WARNING, "WARN")
    logging.addLevelName(logging.CRITICAL, "ERROR")
    handlers: list[logging.Handler] = [_stderr()]
    if options.directory:
        handlers.append(_File(options.directory / f"{program}.log", on_failure))
    root = logging.getLogger()
    for handler in [*root.handlers]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(options.level)


def _stderr() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Journal() if "JOURNAL_STREAM" in os.environ else _Lines())
    return handler


class _Journal(logging.Formatter):
    """Every line with its priority: a trace of ten lines is ten lines of that priority."""

    def format(self, record: logging.LogRecord) -> str:
        priority = PRIORITIES.get(min(record.levelno, logging.ERROR), 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _Lines(logging.Formatter):
    """For people and files, with the time in UTC."""

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _File(logging.handlers.WatchedFileHandler):
    """A file that logrotate may rename. When it takes no line, that is said once, and counted."""

    def __init__(self, path: Path, on_failure: Callable[[], None]) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self.setFormatter(_Lines())
        self._on_failure = on_failure
        self._failing = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.reopenIfNeeded()
            if self.stream is None:
                self.stream = self._open()
            self.stream.write(self.format(record) + self.terminator)
            self.flush()
        except (OSError, ValueError) as error:
            self._failed(error)
        else:
            self._failing = False

    def _failed(self, error: Exception) -> None:
        self._on_failure()
        # What the stream still holds would be written, or fail, with each later line.
        self.stream, broken = None, self.stream
        if broken is not None:
            with contextlib.suppress(OSError):
                broken.close()
        if not self._failing:
            self._failing = True
            sys.stderr.write(f"<4>{self.baseFilename} takes no lines, the journal does: {error}\n")
