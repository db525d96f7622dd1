"""Tell the watchdog that a process is well: one file, standard library, copy it where you like.

The program that drives a browser calls `validate_process(pid)` whenever the browser has done what
it should. That writes `<pid>-<create time>` into the watchdog's directory, with the time of
validation (seconds since 1970) in it. The create time is field 22 of /proc/<pid>/stat: clock ticks
since boot, a whole number that no change of the clock moves. The watchdog takes psutil's
`create_time()` too, which is seconds since 1970 and always has a point.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

DIRECTORY = Path("/run/lookout/watchdog")


def start_ticks(pid: int) -> int:
    """Ticks from boot to the start of a process; ProcessLookupError where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        raise ProcessLookupError(f"there is no process {pid}") from None
    # The name stands in parentheses and may hold spaces and parentheses itself.
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def validate_process(pid: int, directory: str | os.PathLike[str] = DIRECTORY) -> Path:
    """Write, atomically, that the process is well now; the path of the file.

    Raises ProcessLookupError where there is no such process, OSError where the directory cannot be
    written: is this user in the watchdog's group of writers?
    """
    target = Path(directory, f"{pid}-{start_ticks(pid)}")
    beside = Path(directory, f".{pid}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask: the watchdog is another user
            file.write(f"{time.time():.3f}\n".encode())
        try:
            beside.replace(target)
        except (PermissionError, IsADirectoryError):
            # Somebody else was there first. The directory keeps his file from us, and us from him.
            target = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
            beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return target


def main(arguments: list[str] | None = None) -> int:
    """Run `lookout-validate PID [DIRECTORY]`: 0 validated, 1 could not, 2 called wrongly."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) not in (1, 2) or not words[0].isascii() or not words[0].isdigit():
        sys.stderr.write("usage: lookout-validate PID [DIRECTORY]\n")
        return 2
    try:
        validate_process(int(words[0]), *words[1:])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"lookout-validate: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
