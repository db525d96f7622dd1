"""Which processes belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from lookout.watchdog.processes import Key, Process

FIRST = 1


class Tree:
    """One scan's processes, with the way from a process to all that it started."""

    def __init__(self, processes: Mapping[int, Process]) -> None:
        self.processes = processes
        self._below: dict[int, list[Process]] | None = None

    def alive(self, key: Key) -> Process | None:
        """The process of a key, unless it has ended (or its number is another's)."""
        process = self.processes.get(key[0])
        return process if process is not None and process.start == key[1] else None

    def members(self, keys: Iterable[Key]) -> list[Process]:
        """The processes of the keys that are alive, and all that they started, directly or not.

        A process whose parent has ended is handed on to the first process. It is found all the same
        if it is among the keys, which are those of earlier scans, or in a session that one of
        them leads: nobody joins a session, all in it come from its leader, and the kernel gives the
        leader's number to nobody else as long as one of them lives.
        """
        if self._below is None:
            self._below = self._parents_and_leaders()
        found: dict[int, Process] = {}
        open_ends = [process for process in map(self.alive, keys) if process is not None]
        while open_ends:
            process = open_ends.pop()
            if process.pid not in found:
                found[process.pid] = process
                open_ends += [
                    other for other in self._below.get(process.pid, ()) if other.pid > FIRST
                ]
        return list(found.values())

    def _parents_and_leaders(self) -> dict[int, list[Process]]:
        """What each process started, and who is in the session that it leads."""
        below: dict[int, list[Process]] = defaultdict(list)
        for process in self.processes.values():
            below[process.parent].append(process)
            if process.session not in (process.pid, process.parent):
                below[process.session].append(process)
        return below
