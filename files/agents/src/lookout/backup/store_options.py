"""Options of the programs that keep the repositories, and whether the destination is the right one.

A disk that is not mounted leaves an empty folder in the root filesystem: whatever is written there
fills it, and looks like a backup until somebody needs one. So nothing is written before the folder
is on the mount that it should be on and holds the marker that the site gave it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lookout.kit.config import option
from lookout.kit.options import Options

# In the folder of the repositories; root's, so that no program of ours can make one.
MARKER = ".lookout-store"
# Where the passwords are for who calls by hand, as root
PASSWORDS = Path("/etc/lookout/backup_store.passwords")


@dataclass(frozen=True)
class Copy:
    """A second copy elsewhere: a folder, sftp:USER@HOST:/FOLDER, or s3:https://HOST/BUCKET."""

    to: str = option(pattern=r"(/|sftp:|s3:).+", must="begin with /, sftp: or s3:")
    # Of a folder: what has to be mounted
    mount: Path | None = None
    # Of sftp: where its host key is, and its port
    known_hosts: Path | None = None
    port: int = option(22, at_least=1, at_most=65535)


@dataclass(frozen=True, kw_only=True)
class StoreOptions(Options):
    """What the store keeps, and for how long."""

    path: Path
    # Has to be a mount point; none: a folder of the root filesystem is wanted
    mount: Path | None = None
    # What the marker has to say
    identity: str
    metrics_file: Path
    state_file: Path
    # Nights of good snapshots, of each part
    keep_days: int = option(30, at_least=1)
    # The data is read in so many nights.
    check_nights: int = option(7, at_least=1, at_most=255)
    # restic makes a new lock every five minutes: one that stays for so long has no owner.
    lock_dead_seconds: float = option(1800.0, at_least=1)
    time_limit_seconds: float = option(14000.0, at_least=1)
    copy: Copy | None = None


@dataclass(frozen=True)
class Room:
    """Of the filesystem that holds the repositories, in bytes."""

    free: int
    size: int


def trouble(options: StoreOptions) -> str:
    """Why nothing may be written to the destination; empty when all is as it should be."""
    if options.mount and not os.path.ismount(options.mount):
        return f"{options.mount} is not mounted: nothing is read or written below it"
    marker = options.path / MARKER
    try:
        found = marker.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        return f"the marker {marker} cannot be read, so this may be the wrong disk: {error}"
    if found != options.identity:
        return f"{marker} is that of another store ({found[:40]!r}): this is the wrong disk"
    return ""


def room(options: StoreOptions) -> Room:
    """How much the filesystem holds, for who is not root. Raises OSError."""
    found = os.statvfs(options.path)
    return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def credential(name: str) -> Path:
    """The file of a secret: the unit's. By hand, the passwords of root's folder."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / name if folder else PASSWORDS / name.removeprefix("password_")
