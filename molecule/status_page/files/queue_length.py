"""A kind of task as a site writes it: how many orders wait in a folder."""

from dataclasses import dataclass
from pathlib import Path

from lookout.status.registry import Context, Failed, Outcome, task


@task("queue_length")
@dataclass(frozen=True)
class QueueLength:
    """Options: the most that may wait."""

    most: int

    def run(self, context: Context) -> Outcome:
        """Count the files."""
        waiting = len([*Path("/srv/queue").iterdir()])
        if waiting > self.most:
            raise Failed(f"{waiting} orders wait, at most {self.most} may ({context.name})")
        return Outcome(True, f"{waiting} orders wait")
