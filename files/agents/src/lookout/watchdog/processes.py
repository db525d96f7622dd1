"""All processes of the host, read from /proc by hand.

psutil's loop opens and closes several files a process. Here /proc/<pid>/stat stays open: its
descriptor belongs to that very process and answers ESRCH once that has ended. A process that did
nothing since the last scan answers the same bytes, which are not parsed again.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = resource.getpagesize()
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Up to the start of the process, in a line of stat after the name
FIELDS = 20
# A line of stat has 52 numbers of at most 20 digits.
STAT_BYTES = 1536
# The flag of a kernel thread (PF_KTHREAD in the kernel's sched.h)
KERNEL_THREAD = 0x00200000
# Other files of the agent need descriptors too.
DESCRIPTORS_LEFT = 128

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

    @property
    def key(self) -> Key:
        """What tells it from another process with the same number."""
        return self.pid, self.start


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process runs as. The path of the executable is empty where it cannot be read."""

    executable: str
    command: str
    user: int

    @property
    def program(self) -> str:
        """Name of the executable without its folder."""
        # What an upgrade replaced goes on under this name.
        return self.executable.removesuffix(" (deleted)").rpartition("/")[2]


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
        start=int(fields[FIELDS - 1]),
        name=line[opening + 1 : closing].decode("utf-8", "replace"),
        state=fields[0].decode("ascii", "replace"),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        is_kernel=bool(int(fields[6]) & KERNEL_THREAD),
    )


def parse_statm(line: bytes) -> int:
    """Resident bytes; ValueError for anything else."""
    found = re.match(rb"\d+ (\d+) ", line)
    if not found:
        raise ValueError(f"no line of statm: {line[:40]!r}")
    return int(found[1]) * PAGE_BYTES


def parse_rollup(text: bytes) -> int:
    """Proportional bytes (PSS) of smaps_rollup; ValueError for anything else."""
    found = re.search(rb"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
    if not found:
        raise ValueError("no line Pss: in smaps_rollup")
    return int(found[1]) * 1024


def parse_user(status: bytes) -> int:
    """Number of the real user of a status file; ValueError for anything else."""
    found = re.search(rb"^Uid:\t(\d+)\t", status, re.MULTILINE)
    if not found:
        raise ValueError("no line Uid: in status")
    return int(found[1])


class ProcessTable:
    """Reads all processes, scan after scan."""

    def __init__(self, proc: Path = PROC) -> None:
        self.proc = proc
        self.most_descriptors = (
            max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0]) - DESCRIPTORS_LEFT
        )
        self._kept: dict[int, int] = {}
        self._lines: dict[int, tuple[bytes, Process]] = {}

    def scan(self) -> dict[int, Process]:
        """Every process by its number; those that end meanwhile are left out."""
        found = {}
        numbers = [int(name) for name in os.listdir(self.proc) if name.isdecimal()]
        for pid in numbers:
            try:
                found[pid] = self._read(pid)
            except (OSError, ValueError):
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


def read_identity(pid: int, proc: Path = PROC) -> Identity:
    """What a process runs as; ProcessLookupError where there is none."""
    folder = proc / str(pid)
    try:
        command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        user = parse_user((folder / "status").read_bytes())
    except (FileNotFoundError, ValueError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    try:
        executable = os.readlink(folder / "exe")
    except OSError:
        # A kernel thread or a zombie has none, and that of another user may be forbidden.
        executable = ""
    return Identity(executable, command.decode("utf-8", "replace"), user)


def resident_bytes(pid: int, proc: Path = PROC) -> int:
    """Resident memory; 0 where the process has ended."""
    try:
        return parse_statm((proc / str(pid) / "statm").read_bytes())
    except (OSError, ValueError):
        return 0


def proportional_bytes(pid: int, proc: Path = PROC) -> int:
    """Memory with its share of what it shares (PSS); 0 where the process has ended.

    Raises PermissionError where that may not be read.
    """
    try:
        return parse_rollup((proc / str(pid) / "smaps_rollup").read_bytes())
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0


def control_group(pid: int, proc: Path = PROC) -> str:
    """Path of the unified control group; empty where it cannot be read."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line[3:] for line in lines if line.startswith("0::")), "")


def ancestors(process: Process, table: Mapping[int, Process]) -> Iterator[Process]:
    """Parents up to the first process, nearest first."""
    seen = {process.pid}
    while (parent := table.get(process.parent)) is not None and parent.pid not in seen:
        seen.add(parent.pid)
        yield parent
        process = parent
