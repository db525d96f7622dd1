"""The scratch place: private, with names that nothing live has, and empty afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

LOG = logging.getLogger("lookout.backup.drill")

# A process that was killed is gone within moments, unless its disk hangs.
KILL_SECONDS = 10.0


class Scratch:
    """Folders below one root, all of them this user's alone."""

    def __init__(self, root: Path, proc: Path = Path("/proc")) -> None:
        self.root = root
        self._proc = proc

    def clear(self) -> None:
        """Take away what a drill left that was killed: servers that it started, then files.

        Raises OSError where something stays.
        """
        self.end_processes(self.root)
        if self.root.exists():
            for left in sorted(self.root.iterdir()):
                LOG.info("%s: an earlier drill left it, it is removed", left)
                remove(left)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def folder(self, keep: bool = False) -> Iterator[Path]:
        """A new folder, gone with all that runs in it at the end, unless it is kept."""
        made = self.root / f"drill-{secrets.token_hex(6)}"
        made.mkdir(mode=0o700)
        try:
            yield made
        finally:
            self.end_processes(made)
            if not keep:
                try:
                    remove(made)
                except OSError as error:
                    # What was found is not lost by it; the end of the drill tries again.
                    LOG.warning("%s: cannot be removed: %s", made, error)

    def free_bytes(self) -> int:
        """Room for whoever is not root."""
        room = os.statvfs(self.root)
        return room.f_bavail * room.f_frsize

    def end_processes(self, folder: Path) -> None:
        """Kill this user's processes that work below a folder."""
        found = self.processes(folder)
        for pid, name in found.items():
            LOG.warning("%s (%d) still works in the scratch place: it is ended", name, pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + KILL_SECONDS
        while self.processes(folder) and time.monotonic() < until:
            time.sleep(0.05)

    def processes(self, folder: Path) -> dict[int, str]:
        """Names of this user's processes that have to do with a folder, but for this one."""
        found = {}
        for entry in self._proc.glob("[0-9]*"):
            pid = int(entry.name)
            with contextlib.suppress(OSError):
                if pid != os.getpid() and entry.stat().st_uid == os.geteuid():
                    about = _about(entry)
                    if about and f"{folder}".encode() in about:
                        found[pid] = (entry / "comm").read_text(encoding="utf-8").strip()
        return found


def _about(entry: Path) -> bytes:
    """What a process was called with, and where it is; empty for one that has ended."""
    about = b""
    for name in ("cmdline", "environ"):
        # Of a process in another user namespace the environment is closed, the command is not.
        with contextlib.suppress(OSError):
            about += (entry / name).read_bytes() + b"\0"
    if not about.strip(b"\0"):
        return b""
    with contextlib.suppress(OSError):
        about += os.readlink(entry / "cwd").encode() + b"/"
    return about


def remove(folder: Path) -> None:
    """Remove a folder, also where a restored mode would not let us."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            one = Path(path, name)
            if stat.S_ISDIR(one.lstat().st_mode):
                one.chmod(0o700)
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink()
