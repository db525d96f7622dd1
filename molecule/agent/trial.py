"""An agent that does what it is told: the role and the kit are what is tested here.

In each round it reads and empties /run/lookout-trial/order: `raise` raises, `hang` does not come
back, `report` sends a message. As a oneshot it writes how often it ran.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter

from lookout.kit.config import option
from lookout.kit.options import Options
from lookout.kit.program import Kit, Program

FOLDER = Path("/run/lookout-trial")


@dataclass(frozen=True, kw_only=True)
class TrialOptions(Options):
    """How often it looks for an order."""

    interval_seconds: float = option(0.5, above=0)


def arguments(parser: argparse.ArgumentParser) -> None:
    """`once` makes it a oneshot."""
    parser.add_argument("what", nargs="?", choices=["once"])


def serve(options: TrialOptions, kit: Kit) -> int:
    """Follow orders until a signal comes."""
    if kit.arguments.what == "once":
        with (FOLDER / "runs").open("a") as file:
            file.write("x")
        return 0
    rounds = Counter("trial_rounds", "Rounds so far.", registry=kit.registry)

    def step() -> None:
        rounds.inc()
        order = FOLDER / "order"
        told = order.read_text().strip() if order.exists() else ""
        if told:
            order.write_text("")
        if told == "raise":
            raise RuntimeError("as it was told")
        while told == "hang":
            time.sleep(1)
        if told == "report":
            kit.reports.message("a trial", "info", fingerprint=["trial"], tags={"kind": "test"})

    kit.loop(step, options.interval_seconds)
    return 0


if __name__ == "__main__":
    sys.exit(Program("trial", TrialOptions, "A trial.", arguments).run(serve))
