"""A heartbeat that others send has not stayed away: the dead man's switch."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from lookout.kit.config import option
from lookout.status.history import AHEAD_SECONDS, facts
from lookout.status.registry import Context, Failed, Outcome, task
from lookout.status.storage import reader


@task("heartbeat")
@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """Options: how old the last one may be. It arrives at heartbeat/<name of the task>."""

    max_age_minutes: float = option(10.0, at_least=1, at_most=10_080)
    # The alert that has to be in it
    alertname: str = option("Watchdog", pattern=r"\w+")

    def run(self, context: Context) -> Outcome:
        """Look when the last one came."""
        with closing(reader(context.database)) as connection:
            row = connection.execute(
                "SELECT seen FROM heartbeats WHERE name = ?", (context.name,)
            ).fetchone()
            began = float(facts(connection)["began"])
        if row is None:
            # In a new history one may still be on its way.
            self.judge(time.time() - began)
            return Outcome(True, "none has come yet")
        return self.judge(time.time() - row["seen"])

    def judge(self, age_seconds: float) -> Outcome:
        """Say whether a heartbeat of this age is young enough. Raises Failed where it is not."""
        if age_seconds < -AHEAD_SECONDS:
            # It would look young for as long as that, whatever the monitoring does.
            raise Failed(
                "the last heartbeat lies ahead: the clock was wrong; the next one mends it"
            )
        minutes = max(age_seconds, 0) / 60
        if minutes > self.max_age_minutes:
            raise Failed(
                f"no heartbeat for {minutes:.0f} minutes, {self.max_age_minutes:g} are allowed:"
                " the monitoring may be down"
            )
        return Outcome(True, f"the last one came {max(age_seconds, 0):.0f} seconds ago")
