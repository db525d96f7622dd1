"""Ends trees of processes, each through a descriptor that belongs to that very process."""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lookout.watchdog.decide import Action
from lookout.watchdog.options import ALWAYS_PROTECTED
from lookout.watchdog.processes import (
    Identity,
    Key,
    Process,
    control_group,
    read_identity,
    read_process,
)
from lookout.watchdog.tree import FIRST, Tree

# Rounds of stopping what was born meanwhile; a handful is enough for a storm.
MOST_ROUNDS = 40
# What SIGKILL has not ended by then is stuck in the kernel.
UNDYING_SECONDS = 5.0
RATE_WINDOW_SECONDS = 60.0
ENDED = "ZX"
# Reasons that may be others at the next look: the process had just begun another program.
PASSING = ("vanished", "changed")
REASONS = (
    "rate", "first_process", "kernel_thread", "watchdog", "protected", "vanished", "changed",
    "another_process",
)  # fmt: skip


class RefusedError(Exception):
    """A process that is not ended; `reason` in one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    killed: float | None = None
    undying: bool = False

    @property
    def deadline(self) -> float:
        """When patience ends."""
        return self.began + self.action.watched.rule.grace_seconds


class Killer:
    """Ends trees: SIGTERM, the grace, then all stopped and killed, with what was born meanwhile.

    `scan` gives a fresh look at the processes. `refused` is told of each process that is let live,
    and why.
    """

    def __init__(
        self,
        scan: Callable[[], Tree],
        refused: Callable[[str, Process], None],
        per_minute: int,
        protected: Iterable[str] = (),
        own_group: str | None = None,
    ) -> None:
        self._scan = scan
        self._refused = refused
        self._per_minute = per_minute
        self._protected = {*ALWAYS_PROTECTED, *protected}
        group = control_group(os.getpid()) if own_group is None else own_group
        # A program that somebody starts by hand shares the root group with everybody.
        self._own_group = "" if group == "/" else group
        self._begun: deque[float] = deque()
        self.endings: dict[Key, Ending] = {}

    def begin(self, action: Action, tree: Tree, identity: Identity, now: float) -> bool:
        """Ask a tree to end; False where its root is not ended."""
        root = tree.alive(action.watched.root)
        if root is None or root.key in self.endings:
            return False
        ending = Ending(action, now)
        try:
            self._within_rate(now)
            ending.open[root.key] = self._open(root, identity)
        except RefusedError as error:
            self._refused(error.reason, root)
            return False
        self._begun.append(now)
        ending.members = {root.key, *action.watched.members}
        self.endings[root.key] = ending
        self._gather(ending, tree)
        for descriptor in ending.open.values():
            _send(descriptor, signal.SIGTERM)
        return True

    def advance(self, now: float) -> list[Ending]:
        """Go on with all endings; those that are through are returned, and forgotten."""
        through = []
        for key, ending in list(self.endings.items()):
            self._drop_ended(ending)
            if ending.killed is not None or now >= ending.deadline:
                self._kill(ending)
                ending.killed = now if ending.killed is None else ending.killed
                ending.undying = now - ending.killed > UNDYING_SECONDS
            elif not ending.open:
                # It went when it was asked. What it left behind is asked, too, and killed in time.
                for descriptor in self._gather(ending, self._scan()):
                    _send(descriptor, signal.SIGTERM)
            if not ending.open:
                del self.endings[key]
                through.append(ending)
        return through

    def _kill(self, ending: Ending) -> None:
        """Stop all first, so that nobody forks while the others are looked for."""
        for descriptor in ending.open.values():
            _send(descriptor, signal.SIGSTOP)
        for _ in range(MOST_ROUNDS):
            born = self._gather(ending, self._scan())
            if not born:
                break
            for descriptor in born:
                _send(descriptor, signal.SIGSTOP)
        for descriptor in ending.open.values():
            _send(descriptor, signal.SIGKILL)
        self._drop_ended(ending)

    def _gather(self, ending: Ending, tree: Tree) -> list[int]:
        """Descriptors of members that have none yet."""
        born = []
        for process in tree.members(ending.members):
            ending.members.add(process.key)
            if process.key in ending.open or process.key in ending.spared or process.state in ENDED:
                continue
            try:
                descriptor = self._open(process, read_identity(process.pid))
            except ProcessLookupError:
                continue
            except RefusedError as error:
                self._refused(error.reason, process)
                if error.reason not in PASSING:
                    ending.spared.add(process.key)
                continue
            ending.open[process.key] = descriptor
            born.append(descriptor)
        return born

    def _within_rate(self, now: float) -> None:
        while self._begun and now - self._begun[0] > RATE_WINDOW_SECONDS:
            self._begun.popleft()
        if len(self._begun) >= self._per_minute:
            raise RefusedError("rate")

    def _open(self, process: Process, identity: Identity) -> int:
        """Open a descriptor of the process itself: its number does not matter after that.

        Whoever has the number once the descriptor is open has to be the one that was meant. Then
        the descriptor is his: who had the number before him started earlier, and he does not.
        """
        if process.pid <= FIRST:
            raise RefusedError("first_process")
        if process.is_kernel:
            raise RefusedError("kernel_thread")
        if process.pid == os.getpid():
            raise RefusedError("watchdog")
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            raise RefusedError("vanished") from None
        try:
            self._check(process, identity)
        except ProcessLookupError:
            os.close(descriptor)
            raise RefusedError("vanished") from None
        except RefusedError:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, process: Process, identity: Identity) -> None:
        if read_process(process.pid).start != process.start:
            raise RefusedError("another_process")
        present = read_identity(process.pid)
        if (present.executable, present.user) != (identity.executable, identity.user):
            raise RefusedError("changed")
        if (present.program or process.name) in self._protected:
            raise RefusedError("protected")
        if self._own_group and control_group(process.pid) == self._own_group:
            raise RefusedError("watchdog")

    @staticmethod
    def _drop_ended(ending: Ending) -> None:
        """Let go of the descriptors of processes that have ended: those can be read."""
        if not ending.open:
            return
        poll = select.poll()
        keys = {}
        for key, descriptor in ending.open.items():
            poll.register(descriptor, select.POLLIN)
            keys[descriptor] = key
        for descriptor, _ in poll.poll(0):
            del ending.open[keys[descriptor]]
            os.close(descriptor)


def _send(descriptor: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return  # it ended by itself
