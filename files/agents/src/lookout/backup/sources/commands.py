"""Programs that sources call, as the user that the data belongs to, and those that parts name."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lookout.backup.sources import SourceError

# Of what a program said, so that a problem stays readable
SAID_LINES = 5
# A shell's: the program cannot be run, or is not there
_NO_PROGRAM = (126, 127)
_END_SECONDS = 60


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments of subprocess that make a child this user; none where the caller is not root."""
    if user is None or os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise SourceError(f"there is no user {user} on this host") from error
    return {
        "user": entry.pw_uid,
        "group": entry.pw_gid,
        "extra_groups": os.getgrouplist(user, entry.pw_gid),
    }


def said(text: str) -> str:
    """The last lines of what a program said, as one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-SAID_LINES:]) or "it said nothing"


@dataclass(frozen=True)
class Ending:
    """How a command of a part ended."""

    # Why it did not end well; empty where it did
    problem: str = ""
    # Whether it is that the command could not be run, or did not end: it has judged nothing.
    no_verdict: bool = False
    said: str = ""


def attempt(command: Sequence[str], timeout_seconds: float, files: Path | None = None) -> Ending:
    """Run a command that a part names; {files} in it is the folder that holds the part's paths."""
    argv = [word.replace("{files}", str(files)) for word in command] if files else list(command)
    name = Path(argv[0]).name
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ending(f"{name} took longer than {timeout_seconds:.0f} s", no_verdict=True)
    except OSError as error:
        return Ending(f"{argv[0]} cannot be run: {error.strerror}", no_verdict=True)
    last = said(done.stdout)
    if done.returncode in _NO_PROGRAM:
        return Ending(f"{name} cannot be run: {last}", no_verdict=True, said=last)
    if done.returncode:
        return Ending(f"{name} ended with {done.returncode}: {last}", said=last)
    return Ending(said=last)


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
    stdin: Path | None = None,
    stdout: Path | None = None,
    tell: Callable[[str], str] = said,
) -> str:
    """Run a program to its end and give what it printed. Raises SourceError unless that was good.

    `text` or the file `stdin` is what it reads; what it prints goes into the file `stdout` where
    one is named. This process opens both: the user may not be able to.
    """
    name = Path(argv[0]).name
    with _opened(stdin, "rb") as reads, _opened(stdout, "wb") as prints:
        try:
            done = subprocess.run(
                argv,
                env={**os.environ, **(environment or {})},
                # A folder that any user may be in
                cwd="/",
                stdout=prints or subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=timeout_seconds,
                check=False,
                **({"input": text.encode()} if text is not None else {"stdin": reads}),
                **as_user(user),
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{name} took longer than {timeout_seconds:.0f} s") from error
        except OSError as error:
            raise SourceError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        complaint = tell(done.stderr.decode(errors="replace"))
        raise SourceError(f"{name} ended with {done.returncode}: {complaint}")
    return (done.stdout or b"").decode()


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a server of one's own by a signal, and by force where that takes longer than a minute."""
    process.send_signal(number)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _opened(path: Path | None, mode: str) -> contextlib.AbstractContextManager[IO[bytes] | None]:
    if path is not None:
        return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))
    return open(os.devnull, mode) if mode == "rb" else contextlib.nullcontext()
