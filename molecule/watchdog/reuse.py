"""Numbers of processes used anew, ten thousand times: nobody is ended in place of another.

Runs in a PID namespace of its own in which there are 400 numbers. In each round a generation of
processes is looked at and ends, and another one gets its numbers. Half of the old ones were open
already when they ended, as if the watchdog had been about to send the signal; the other half are
opened afterwards, as if it had seen them in its last scan. Prints how often a number was used
anew, and who was ended wrongly.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from lookout.watchdog import killer
from lookout.watchdog.decide import Action, Watched
from lookout.watchdog.details import read_identity
from lookout.watchdog.killer import Killer
from lookout.watchdog.options import Rule
from lookout.watchdog.processes import Process, ProcessTable
from lookout.watchdog.tree import Tree

REUSES = int(sys.argv[1])
# Of 400 numbers the kernel gives those above 300 a second time: nearly all of them are taken.
GENERATION = 90
MOST_SECONDS = 240
RULE = Rule(name="reuse", command="reuse", grace_seconds=0)


def generation() -> list[int]:
    """Processes that wait to be ended."""
    made = []
    for _ in range(GENERATION):
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        made.append(pid)
    return made


def end(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)


def main() -> None:
    """Go on until enough numbers were used anew."""
    refused: dict[str, int] = {}

    def note(reason: str, _process: Process) -> None:
        refused[reason] = refused.get(reason, 0) + 1

    table = ProcessTable()
    reused = wrong = 0
    began = time.monotonic()
    while reused < REUSES and time.monotonic() - began < MOST_SECONDS:
        subject = Killer(lambda: Tree(table.scan()), note, 10**9, own_group="")
        old = generation()
        before = Tree(table.scan())
        seen = {pid: (before.processes[pid], read_identity(pid)) for pid in old}
        held = [subject._open(*seen[pid]) for pid in old[::2]]
        end(old)
        new = generation()
        again = [pid for pid in new if pid in seen]
        for pid in again:
            process, identity = seen[pid]
            watched = Watched(RULE, process.key, "", 0, 0, members=(process.key,))
            wrong += subject.begin(Action(watched, "memory", ""), before, identity, 0)
            wrong += len(Tree(table.scan()).members([process.key])) if pid == again[0] else 0
        for descriptor in held:
            killer._send(descriptor, signal.SIGKILL)
            os.close(descriptor)
        for _ in range(3):
            subject.advance(time.monotonic())
        wrong += len(subject.endings)
        living = table.scan()
        wrong += sum(pid not in living or living[pid].state in "ZX" for pid in new)
        reused += len(again)
        end(new)
    print(f"reused={reused} wrong={wrong} refused={refused} seconds={time.monotonic() - began:.0f}")


if __name__ == "__main__":
    main()
