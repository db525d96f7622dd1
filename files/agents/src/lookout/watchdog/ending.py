"""A tree on its way to its end."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field

from lookout.watchdog.decide import Action
from lookout.watchdog.processes import Key


@dataclass
class Ending:
    """A tree that is being ended."""

    action: Action
    began: float
    # Descriptors of processes that live, and all that ever belonged to the tree
    open: dict[Key, int] = field(default_factory=dict)
    members: set[Key] = field(default_factory=set)
    # Members that are let live
    spared: set[Key] = field(default_factory=set)
    # Whether members may live that have no descriptor yet
    incomplete: bool = False
    killed: float | None = None
    undying: bool = False

    @property
    def deadline(self) -> float:
        """When patience ends."""
        return self.began + self.action.watched.rule.grace_seconds

    def drop_ended(self) -> None:
        """Let go of the descriptors of processes that have ended: those can be read."""
        if not self.open:
            return
        poll = select.poll()
        keys = {}
        for key, descriptor in self.open.items():
            poll.register(descriptor, select.POLLIN)
            keys[descriptor] = key
        for descriptor, _ in poll.poll(0):
            del self.open[keys[descriptor]]
            os.close(descriptor)
