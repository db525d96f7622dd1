"""`python -m lookout.sensor --config FILE`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from prometheus_client import generate_latest

from lookout.kit.program import Kit, Program, ProgramError
from lookout.sensor import host, page
from lookout.sensor.answers import Shown
from lookout.sensor.collect import Collection
from lookout.sensor.dropped import Dropped
from lookout.sensor.history import History
from lookout.sensor.options import SensorOptions
from lookout.sensor.server import Server


class Agent:
    """Collects by its own clock, and leaves to the server what it is to show."""

    def __init__(self, options: SensorOptions, kit: Kit) -> None:
        self._options = options
        self._registry = kit.registry
        dropped = Dropped(options.files, kit.registry)
        sources = {
            **host.sources(options.disks),
            "files": lambda: dropped.read(time.time()),
        }
        self._collection = Collection(sources, kit.registry)
        self._history = History()
        where = options.metrics
        try:
            self.server = Server(where.address, options.port, where.tls, kit.registry)
        except OSError as error:
            raise ProgramError(f"the metrics cannot be served: {error}") from error

    def step(self) -> None:
        """One collection."""
        self.server.ask()
        values = self._collection.run()
        self._history.add(values, time.monotonic())
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        series = self._history.shown()
        self.server.shown = Shown(
            generate_latest(self._registry),
            lambda: page.render(self._options.instance, moment, series),
        )


def serve(options: SensorOptions, kit: Kit) -> int:
    """Serve until a signal ends it."""
    # A scrape does not wait the usual 5 ms for a collection.
    sys.setswitchinterval(0.001)
    agent = Agent(options, kit)
    agent.server.start()
    kit.loop(agent.step, options.interval_seconds)
    agent.server.stop()
    return 0


PROGRAM = Program(
    "sensor", SensorOptions, "Shows what a robot measures of itself, as metrics and as a page."
)

if __name__ == "__main__":
    sys.exit(PROGRAM.run(serve))
