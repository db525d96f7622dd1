"""Ends trees of processes, each through a descriptor that belongs to that very process."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable

from lookout.watchdog.decide import Action
from lookout.watchdog.details import Identity, control_group, read_identity
from lookout.watchdog.ending import Ending
from lookout.watchdog.options import ALWAYS_PROTECTED
from lookout.watchdog.processes import LACKING, Key, Process, most_descriptors, read_process
from lookout.watchdog.tree import FIRST, Tree

# Rounds of stopping what was born meanwhile; a handful is enough for a storm.
MOST_ROUNDS = 40
# What SIGKILL has not ended by then is stuck in the kernel.
UNDYING_SECONDS = 5.0
RATE_WINDOW_SECONDS = 60.0
# Reasons that may be gone at the next look: the process had just begun another program, or there
# was no descriptor left.
PASSING = ("changed", "unreadable")
REASONS = (
    "rate", "first_process", "kernel_thread", "watchdog", "protected", "vanished", "changed",
    "another_process", "unreadable",
)  # fmt: skip


class RefusedError(Exception):
    """A process that is not ended; `reason` in one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
        # A tree with more processes is ended part by part.
        self.most_descriptors = most_descriptors() // 4
        self._begun: deque[tuple[float, int]] = deque()
        self.endings: dict[Key, Ending] = {}

    def begun(self, now: float) -> Counter[int]:
        """How many trees of each user were asked to end within the last minute."""
        while self._begun and now - self._begun[0][0] > RATE_WINDOW_SECONDS:
            self._begun.popleft()
        return Counter(user for _, user in self._begun)

    def has_room(self, root: Process, now: float) -> bool:
        """Whether a tree may be asked to end: it is not yet, and the limit is not reached."""
        if root.key in self.endings:
            return False
        if self.begun(now).total() >= self._per_minute:
            self._refused("rate", root)
            return False
        return True

    def begin(self, action: Action, tree: Tree, identity: Identity, now: float) -> bool:
        """Ask a tree to end; False where its root is not ended."""
        root = tree.alive(action.watched.root)
        if root is None or not self.has_room(root, now):
            return False
        ending = Ending(action, now)
        try:
            ending.open[root.key] = self._open(root, identity)
        except RefusedError as error:
            self._refused(error.reason, root)
            return False
        self._begun.append((now, identity.user))
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
            ending.drop_ended()
            if ending.killed is not None or now >= ending.deadline:
                self._kill(ending)
                ending.killed = now if ending.killed is None else ending.killed
                ending.undying = now - ending.killed > UNDYING_SECONDS
            elif not ending.open:
                # It went when it was asked. What it left behind is asked, too, and killed in time.
                for descriptor in self._look_again(ending):
                    _send(descriptor, signal.SIGTERM)
            if not ending.open and not ending.incomplete:
                del self.endings[key]
                through.append(ending)
        return through

    def _kill(self, ending: Ending) -> None:
        """Stop all first, so that nobody forks while the others are looked for.

        Whatever happens meanwhile, nobody stays stopped. Those that got no descriptor are next.
        """
        try:
            for descriptor in ending.open.values():
                _send(descriptor, signal.SIGSTOP)
            for _ in range(MOST_ROUNDS):
                born = self._look_again(ending)
                if not born:
                    break
                for descriptor in born:
                    _send(descriptor, signal.SIGSTOP)
        finally:
            for descriptor in ending.open.values():
                _send(descriptor, signal.SIGKILL)
        ending.drop_ended()

    def _look_again(self, ending: Ending) -> list[int]:
        """Descriptors of members that a fresh look brings."""
        try:
            return self._gather(ending, self._scan())
        except OSError:  # no descriptor is left, or no memory
            ending.incomplete = True
            return []

    def _gather(self, ending: Ending, tree: Tree) -> list[int]:
        """Descriptors of members that have none yet."""
        born: list[int] = []
        ending.incomplete = False
        room = self.most_descriptors - sum(len(one.open) for one in self.endings.values())
        for process in tree.members(ending.members):
            ending.members.add(process.key)
            if process.key in ending.open or process.key in ending.spared or process.has_ended:
                continue
            if len(born) >= room:
                ending.incomplete = True
                continue
            try:
                descriptor = self._open(process, read_identity(process.pid))
            except ProcessLookupError:
                continue
            except OSError:
                ending.incomplete = True
                continue
            except RefusedError as error:
                self._refused(error.reason, process)
                if error.reason in PASSING:
                    ending.incomplete = True
                elif error.reason != "vanished":
                    ending.spared.add(process.key)
                continue
            ending.open[process.key] = descriptor
            born.append(descriptor)
        return born

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
        except OSError as error:
            raise _refusal(error) from None
        try:
            self._check(process, identity)
        except OSError as error:
            os.close(descriptor)
            raise _refusal(error) from None
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


def _refusal(error: OSError) -> RefusedError:
    return RefusedError("unreadable" if error.errno in LACKING else "vanished")


def _send(descriptor: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return  # it ended by itself
