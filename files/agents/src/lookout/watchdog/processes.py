"""All processes of the host, read from /proc by hand.

psutil's loop opens and closes several files a process. Here /proc/<pid>/stat stays open: its
descriptor belongs to that very process and answers ESRCH once that has ended. A process that did
nothing since the last scan answers the same bytes, which are not parsed again.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Up to the start of the stack, in a line of stat after the name
FIELDS = 26
THREADS, START, CODE, STACK = 17, 19, 23, 25
# A line of stat has 52 numbers of at most 20 digits.
STAT_BYTES = 1536
ENDED = "ZX"
# What lacks is a descriptor or memory here, not the process.
LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# The flag of a kernel thread (PF_KTHREAD in the kernel's sched.h)
KERNEL_THREAD = 0x00200000

Key = tuple[int, int]
"""Process number and start in ticks since boot: what tells a process from its successor."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process as a line of stat describes it."""

    pid: int
    start: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    is_kernel: bool
    threads: int = 1
    # Where its code and its stack begin: others after each exec. Empty where that may not be read.
    image: bytes = b""

    @property
    def key(self) -> Key:
        """What tells it from another process with the same number."""
        return self.pid, self.start

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs: it may go on without its first thread, which is a zombie."""
        return self.state in ENDED and self.threads <= 1

    def runs_what(self, before: Process) -> bool:
        """Whether it runs the program that it ran before, as far as a line of stat tells."""
        same = (self.key, self.name) == (before.key, before.name)
        return same and (not self.image or self.image == before.image)


def parse_stat(line: bytes) -> Process:
    """Parse a line of stat; ValueError for anything else."""
    opening, closing = line.find(b"("), line.rfind(b")")
    if not 0 < opening < closing:
        raise ValueError(f"no name in parentheses: {line[:40]!r}")
    fields = line[closing + 2 :].split(None, FIELDS)
    if len(fields) < FIELDS:
        raise ValueError(f"{len(fields)} fields after the name, {FIELDS} are needed")
    return Process(
        pid=int(line[:opening]),
        start=int(fields[START]),
        name=line[opening + 1 : closing].decode("utf-8", "replace"),
        state=fields[0].decode("ascii", "replace"),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        is_kernel=bool(int(fields[6]) & KERNEL_THREAD),
        threads=int(fields[THREADS]),
        image=b"" if fields[STACK] == b"0" else b" ".join(fields[CODE : STACK + 1]),
    )


def most_descriptors() -> int:
    """How many files this process may have open."""
    return max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class ProcessTable:
    """Reads all processes, scan after scan."""

    def __init__(self, proc: Path = PROC) -> None:
        self.proc = proc
        # The other half is for what is being ended, and for all that is opened for a moment.
        self.most_descriptors = most_descriptors() // 2
        self._kept: dict[int, int] = {}
        self._lines: dict[int, tuple[bytes, Process]] = {}

    def scan(self) -> dict[int, Process]:
        """Every process by its number; those that end meanwhile are left out."""
        found = {}
        numbers = [int(name) for name in os.listdir(self.proc) if name.isdecimal()]
        for pid in numbers:
            try:
                found[pid] = self._read(pid)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in LACKING:
                    raise  # it lives, and nobody can look
                self._forget(pid)
        for pid in self._lines.keys() - found.keys():
            self._forget(pid)
        return found

    def close(self) -> None:
        """Let go of all descriptors."""
        for pid in list(self._lines):
            self._forget(pid)

    def _read(self, pid: int) -> Process:
        kept = self._kept.get(pid)
        if kept is not None:
            try:
                line = os.pread(kept, STAT_BYTES, 0)
            except ProcessLookupError:
                # The process is gone, and its number may be another's by now.
                self._forget(pid)
                line = self._open(pid)
        else:
            line = self._open(pid)
        last = self._lines.get(pid)
        if last is not None and last[0] == line:
            return last[1]
        process = parse_stat(line)
        self._lines[pid] = (line, process)
        return process

    def _open(self, pid: int) -> bytes:
        descriptor = os.open(f"{self.proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            line = os.pread(descriptor, STAT_BYTES, 0)
        except BaseException:
            os.close(descriptor)
            raise
        if len(self._kept) < self.most_descriptors:
            self._kept[pid] = descriptor
        else:
            os.close(descriptor)
        return line

    def _forget(self, pid: int) -> None:
        self._lines.pop(pid, None)
        descriptor = self._kept.pop(pid, None)
        if descriptor is not None:
            os.close(descriptor)


def read_process(pid: int, proc: Path = PROC) -> Process:
    """One process, now; ProcessLookupError where there is none."""
    try:
        return parse_stat((proc / str(pid) / "stat").read_bytes())
    except (FileNotFoundError, ValueError):
        raise ProcessLookupError(f"there is no process {pid}") from None


def ancestors(process: Process, table: Mapping[int, Process]) -> Iterator[Process]:
    """Parents up to the first process, nearest first."""
    seen = {process.pid}
    while (parent := table.get(process.parent)) is not None and parent.pid not in seen:
        seen.add(parent.pid)
        yield parent
        process = parent
