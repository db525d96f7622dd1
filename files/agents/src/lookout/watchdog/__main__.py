"""`python -m lookout.watchdog --config FILE`."""

from __future__ import annotations

import sys

from lookout.kit.program import Kit, Program
from lookout.watchdog.agent import Agent, known_users
from lookout.watchdog.options import WatchdogOptions


def serve(options: WatchdogOptions, kit: Kit) -> int:
    """Watch until a signal ends it."""
    agent = Agent(options, kit, known_users(options))
    kit.loop(agent.step, options.scan_interval_seconds)
    agent.table.close()
    return 0


PROGRAM = Program("watchdog", WatchdogOptions, "Ends processes that hang or grow.")

if __name__ == "__main__":
    sys.exit(PROGRAM.run(serve))
