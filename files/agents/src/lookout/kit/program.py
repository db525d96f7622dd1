"""What stands between `python -m lookout.<agent>` and the agent: set-up, signals, the loop."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from lookout import __version__
from lookout.kit import config, metrics, systemd
from lookout.kit import log as logs
from lookout.kit.options import Options
from lookout.kit.reports import Reports

log = logging.getLogger("lookout.kit")
O = TypeVar("O", bound=Options)  # noqa: E741

# What the start of the program that sends a report takes on a busy host
SENDER_SECONDS = 10.0
# Rounds that fail in a row: what does not mend itself may be mended by another start.
MOST_FAILURES = 20
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

# A configuration that is wrong gets no better by a restart (RestartPreventExitStatus= of the unit).
WRONG_CONFIGURATION = 2


class ProgramError(Exception):
    """Why the program cannot go on, in words that need no trace."""


class Kit:
    """What a running program has at hand."""

    def __init__(self, program: str, options: Options, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self._metrics = options.metrics
        self.registry = CollectorRegistry()
        self.stopping = threading.Event()
        self._reload_asked = threading.Event()
        self._failed_in_a_row = 0
        # Says whether there is another configuration to begin with; set by Program
        self.reload: Callable[[], bool] = lambda: False
        log_failures = Counter(
            "agent_log_write_failures",
            "Lines that the log file did not take; the journal has them.",
            registry=self.registry,
        )
        logs.setup(program, options.log, log_failures.inc)
        ProcessCollector(registry=self.registry)
        info = Gauge("agent_info", "The agent that runs.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        dsn = systemd.credential("sentry_dsn")
        self.reports = Reports(program, options.instance, options.errors, dsn, self.registry)
        self._step_failures = Counter(
            "agent_step_failures",
            "Rounds of the main loop that ended in an exception.",
            registry=self.registry,
        )
        self._refused = Counter(
            "agent_config_refused",
            "Configurations that were refused while the former one ran on.",
            registry=self.registry,
        )
        self._last_step = Gauge(
            "agent_last_step_timestamp_seconds",
            "When the main loop last ended a round.",
            registry=self.registry,
        )

    def loop(self, step: Callable[[], float | None], interval_seconds: float) -> None:
        """Call `step` every `interval_seconds` until a signal ends it; READY=1 after the first one.

        The metrics are served for that long; what runs by the clock beside it serves none.

        A step that returns a number is called again that many seconds after its start. One that
        raises is logged, reported and counted, and the next one comes in its time. Systemd hears a
        sign of life after each step and while waiting, never during a step: one that hangs is
        ended with the agent.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: self._reload_asked.set())
        # Whoever began anew has kept them waiting.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            server = metrics.serve(self.registry, self._metrics)
        except OSError as error:
            raise ProgramError(f"the metrics cannot be served: {error}") from error
        try:
            self._rounds(step, interval_seconds)
        finally:
            systemd.notify("STOPPING=1")
            if server:
                server.shutdown()

    def _rounds(self, step: Callable[[], float | None], interval_seconds: float) -> None:
        slice_seconds = (systemd.watchdog_seconds() or 30) / 3
        ready = False
        while not self.stopping.is_set():
            start = time.monotonic()
            wanted = self._one(step)
            if not ready:
                ready = systemd.notify("READY=1") or True
            until = start + (interval_seconds if wanted is None else wanted)
            while not self.stopping.is_set():
                systemd.notify("WATCHDOG=1")
                if self._reload_asked.is_set():
                    self._reload_asked.clear()
                    self._try_reload()
                left = until - time.monotonic()
                if left <= 0:
                    break
                # In slices, as a signal sets an event and does not wake who waits for another one.
                self.stopping.wait(min(left, slice_seconds, 1.0))

    def _one(self, step: Callable[[], float | None]) -> float | None:
        try:
            wanted = step()
        except Exception as error:
            # One bad round must not end the watch; whoever looks at the metrics sees it.
            log.exception("a round failed")
            self._step_failures.inc()
            self.reports.exception(error)
            wanted = None
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= MOST_FAILURES:
                raise ProgramError(f"{MOST_FAILURES} rounds in a row failed") from error
        else:
            self._failed_in_a_row = 0
        self._last_step.set_to_current_time()
        return wanted

    def _try_reload(self) -> None:
        if not self.reload():
            self._refused.inc()


@dataclass(frozen=True)
class Program(Generic[O]):
    """A program: its name, the class of its options, and a line on what it does."""

    name: str
    options: type[O]
    description: str
    # Adds arguments of the program's own to those that all have.
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _parser: None

    def run(self, serve: Callable[[O, Kit], int], argv: Sequence[str] | None = None) -> int:
        """Read arguments and configuration, set everything up, serve; returns the exit status."""
        arguments = self._parser().parse_args(argv)
        try:
            options = config.load(self.options, arguments.config)
        except config.ConfigError as error:
            print(error, file=sys.stderr)
            return WRONG_CONFIGURATION
        if arguments.check:
            print(f"{arguments.config}: is right")
            return 0
        # What ps, top and ss call it instead of "python"; the kernel takes 15 characters.
        Path("/proc/self/comm").write_text(f"lookout-{self.name}"[:15], encoding="ascii")
        kit = Kit(self.name, options, arguments)
        kit.reload = lambda: self._begin_anew(arguments.config, kit)
        threading.excepthook = lambda what: self._thread_failed(kit, what)
        try:
            return serve(options, kit)
        except ProgramError as error:
            log.error("%s", error)
            kit.reports.message(str(error))
            return 1
        except Exception as error:
            log.exception("the agent ends")
            kit.reports.exception(error)
            return 1
        finally:
            if not kit.reports.flush(options.errors.timeout_seconds + SENDER_SECONDS):
                log.warning("the agent ends before all its reports were sent")

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m lookout.{self.name}", description=self.description
        )
        parser.add_argument("--config", type=Path, required=True, help="the YAML file to run with")
        parser.add_argument(
            "--check", action="store_true", help="say what is wrong with it, and do no more"
        )
        parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
        self.arguments(parser)
        return parser

    def _begin_anew(self, path: Path, kit: Kit) -> bool:
        """Begin with the configuration as it is now, in this process; False where it is wrong."""
        try:
            config.load(self.options, path)
        except config.ConfigError as error:
            for problem in error.problems:
                log.error("the former configuration stays: %s", problem)
            return False
        except Exception:
            # Whatever is in that file, the agent runs on.
            log.exception("the former configuration stays: the new one cannot be read")
            return False
        log.info("begins anew with the configuration as it is now")
        kit.reports.flush(SENDER_SECONDS)
        # What arrives before the new program is ready waits for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if kit.stopping.is_set():
            # Told to end a moment before: the loop sees it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            return True
        # The same process to systemd; sockets and files are closed on the way.
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606
        raise AssertionError("a process that was replaced goes on")

    @staticmethod
    def _thread_failed(kit: Kit, what: threading.ExceptHookArgs) -> None:
        if what.exc_value is None or isinstance(what.exc_value, SystemExit):
            return
        log.error("a thread failed", exc_info=what.exc_value)
        kit.reports.exception(what.exc_value)
