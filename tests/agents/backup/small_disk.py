"""A real file system of a few megabytes, which nobody but one test sees."""

from __future__ import annotations

import ctypes
import os
import subprocess
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_NEW_MOUNTS = 0x20000  # CLONE_NEWNS of unshare(2)


def with_own_mounts(work: Callable[[], None]) -> None:
    """Run a test's body in a process of its own, which mounts what it likes; both need root."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert ctypes.CDLL(None).unshare(_NEW_MOUNTS) == 0
            subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=10)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # Nothing of pytest's is to be done a second time.
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, "what failed is among the output"


def mount(folder: Path, megabytes: int) -> None:
    """A file system of its own for a folder, with what is in it; or another size for one."""
    size = f"size={megabytes}m"
    if folder.is_mount():
        subprocess.run(["mount", "-o", f"remount,{size}", folder], check=True, timeout=10)
        return
    script = 'mount -t tmpfs -o "$1" tmpfs /mnt; cp -a "$2/." /mnt; mount --move /mnt "$2"'
    subprocess.run(["sh", "-ec", script, "sh", size, folder], check=True, timeout=30)


def fill(file: Path, leave_bytes: int = 0) -> None:
    """Write until only so much is free."""
    with file.open("wb", buffering=0) as written:
        with suppress(OSError):
            while True:
                written.write(bytes(1 << 16))
        assert os.statvfs(file).f_bavail == 0
        written.truncate(written.tell() - leave_bytes)
