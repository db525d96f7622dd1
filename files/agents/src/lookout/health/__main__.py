"""`python -m lookout.health --config FILE`: run all checks once; a systemd timer does it."""

from __future__ import annotations

import argparse
import os
import sys

from lookout.health import report, run
from lookout.health.changes import Message
from lookout.health.config import HealthOptions
from lookout.health.results import Result
from lookout.kit.program import Kit, Program

# Beyond the time that the child itself waits for Sentry: its start on a busy host
_START_SECONDS = 30


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--show", action="store_true", help="print a table; leave metrics, state and messages alone"
    )


PROGRAM = Program(
    "health",
    HealthOptions,
    "Judge disks, units, timers, endpoints and certificates. Ends with 0 when all is well, with 3 "
    "when something is not.",
    arguments=_arguments,
)


def _lost(kit: Kit) -> float:
    return sum(
        kit.registry.get_sample_value("agent_reports_lost_total", {"reason": reason}) or 0
        for reason in ("unreachable", "limit")
    )


def serve(config: HealthOptions, kit: Kit) -> int:
    """One run, or a table of what it would say."""
    if kit.arguments.show:
        results = run.judge(config)
        print(report.table(results))
        return run.SOMETHING_FAILS if any(r.failing for r in results) else run.ALL_WELL

    def send(message: Message, result: Result) -> bool:
        before = _lost(kit)
        kit.reports.message(
            message.text,
            message.level,
            fingerprint=("health", config.instance, message.key),
            tags={"check": result.check, "name": result.name, "state": message.state},
        )
        return kit.reports.flush(config.errors.timeout_seconds + _START_SECONDS) and (
            _lost(kit) == before
        )

    return run.once(config, send)


if __name__ == "__main__":
    status = PROGRAM.run(serve)
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: the thread of a check that hangs for good must not hold up the end.
    os._exit(status)
