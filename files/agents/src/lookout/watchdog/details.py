"""What is read of single processes: what they run as, and the memory that they take."""

from __future__ import annotations

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

from lookout.watchdog.processes import PROC, Process

PAGE_BYTES = resource.getpagesize()
# A process says itself how long its command line is: hundreds of megabytes if it likes.
COMMAND_BYTES = 16 * 1024
# Threads that are tried once the first one has ended
MOST_THREADS = 8


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


def read_command(folder: Path, most_bytes: int = COMMAND_BYTES) -> bytes:
    """The beginning of a command line, its arguments ended by zeros."""
    descriptor = os.open(folder / "cmdline", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, most_bytes)
    finally:
        os.close(descriptor)


def read_identity(pid: int, proc: Path = PROC) -> Identity:
    """What a process runs as; ProcessLookupError where there is none."""
    folder = proc / str(pid)
    try:
        user = parse_user((folder / "status").read_bytes())
        command = read_command(folder)
        if not command:
            folder = _living_thread(folder)
            command = read_command(folder)
    except (FileNotFoundError, ValueError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    try:
        executable = os.readlink(folder / "exe")
    except OSError:
        # A kernel thread or a zombie has none, and that of another user may be forbidden.
        executable = ""
    command = command.rstrip(b"\0").replace(b"\0", b" ")
    return Identity(executable, command.decode("utf-8", "replace"), user)


def identify(process: Process) -> Identity | None:
    """What a process runs as; None where it has ended."""
    try:
        return read_identity(process.pid)
    except ProcessLookupError:
        return None


def resident_bytes(pid: int, proc: Path = PROC) -> int:
    """Resident memory; 0 where the process has ended."""
    folder = proc / str(pid)
    return _resident(folder) or _resident(_living_thread(folder))


def proportional_bytes(pid: int, proc: Path = PROC) -> int:
    """Memory with its share of what it shares (PSS); 0 where the process has ended.

    Raises PermissionError where that may not be read.
    """
    folder = proc / str(pid)
    return _proportional(folder) or _proportional(_living_thread(folder))


def _living_thread(folder: Path) -> Path:
    """Where a process is read whose first thread has ended: its own folder is that thread's."""
    try:
        threads = sorted(os.listdir(folder / "task"), key=int)[1 : 1 + MOST_THREADS]
    except OSError:
        return folder
    living = (folder / "task" / thread for thread in threads)
    return next((one for one in living if _resident(one)), folder)


def _resident(folder: Path) -> int:
    try:
        return parse_statm((folder / "statm").read_bytes())
    except (OSError, ValueError):
        return 0


def _proportional(folder: Path) -> int:
    try:
        return parse_rollup((folder / "smaps_rollup").read_bytes())
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0


def control_group(pid: int, proc: Path = PROC) -> str:
    """Path of the unified control group; empty where it cannot be read."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line[3:] for line in lines if line.startswith("0::")), "")
