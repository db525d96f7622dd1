"""What a unit of Type=notify tells systemd (sd_notify(3)), and what systemd gives it."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def notify(*states: str) -> bool:
    """Send states such as "READY=1" and "WATCHDOG=1"; says whether somebody was there to listen.

    A name that begins with @ is in the abstract namespace of sockets.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(1)
        try:
            sender.sendto("\n".join(states).encode(), address.replace("@", "\0", 1))
        except OSError:
            # Systemd restarts a unit that it does not hear from: nothing to do about it here.
            return False
    return True


def watchdog_seconds() -> float | None:
    """How long systemd waits for a sign of life, None where it waits for none."""
    if os.environ.get("WATCHDOG_PID") not in (None, "", str(os.getpid())):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() else None


def credential(name: str) -> str | None:
    """A secret that the unit loads (LoadCredential=), stripped; None where it loads none.

    Raises OSError where it is there and cannot be read.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path.read_text(encoding="utf-8").strip() or None if path and path.exists() else None
