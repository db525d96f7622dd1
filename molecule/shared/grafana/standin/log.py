"""Grafana's log lines: `logger=… t=… level=… msg=…` to standard output and a file."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

LEVELS = ("debug", "info", "warn", "error")


class Log:
    """Where lines go; one for the process, set up once the settings are read."""

    def __init__(self) -> None:
        self.level = "info"
        self.console = True
        self.file: Path | None = None
        self._lock = threading.Lock()

    def set_up(self, mode: str, level: str, folder: Path) -> None:
        """Take `[log] mode` and `level`; a folder that cannot be written raises OSError."""
        modes = mode.replace(",", " ").split()
        self.level = level if level in LEVELS else "error"
        self.console = "console" in modes
        if "file" in modes:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = folder / "grafana.log"
            with self.file.open("a", encoding="utf-8"):
                pass

    def write(self, logger: str, level: str, message: str, **fields: object) -> None:
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        pairs = {"logger": logger, "t": now, "level": level, "msg": message, **fields}
        line = " ".join(f"{key}={quoted(value)}" for key, value in pairs.items()) + "\n"
        with self._lock:
            if self.console:
                sys.stdout.write(line)
                sys.stdout.flush()
            if self.file:
                with self.file.open("a", encoding="utf-8") as handle:
                    handle.write(line)


def quoted(value: object) -> str:
    """A value as logfmt has it: in quotes when there is a space, a quote or `=` in it."""
    text = str(value).replace("\n", " ")
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


LOG = Log()


class Logger:
    """The lines of one part of the server."""

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, message: str, **fields: object) -> None:
        LOG.write(self.name, "debug", message, **fields)

    def info(self, message: str, **fields: object) -> None:
        LOG.write(self.name, "info", message, **fields)

    def warn(self, message: str, **fields: object) -> None:
        LOG.write(self.name, "warn", message, **fields)

    def error(self, message: str, **fields: object) -> None:
        LOG.write(self.name, "error", message, **fields)
