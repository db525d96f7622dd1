"""Options that the programs of the backup share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lookout.kit.config import option
from lookout.kit.options import Options

# Where the credentials are for who is called by hand, as root, and not by systemd
CREDENTIALS = Path("/etc/lookout/backup.credentials")
# The key was made on this host, so that it is no file of Ansible's as the credentials are.
SSH_KEY = Path("/etc/lookout/backup.ssh/key")


@dataclass(frozen=True)
class Store:
    """The host that keeps the repositories, reached by ssh: its key may call one command."""

    address: str
    user: str
    known_hosts: Path
    port: int = option(22, at_least=1, at_most=65535)


@dataclass(frozen=True, kw_only=True)
class BackupOptions(Options):
    """What every program that talks to a repository needs."""

    store: Store
    cache_dir: Path = Path("/var/cache/lookout/backup")
    # Uploads share the line with the services; 0: as fast as it goes.
    limit_upload_kib: int = option(0, at_least=0)


def credential(name: str) -> Path:
    """The file of a secret: of the unit, or of the host for who calls by hand."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        return Path(folder) / name
    return SSH_KEY if name == "ssh_key" else CREDENTIALS / name


@dataclass(frozen=True, kw_only=True)
class RunOptions(BackupOptions):
    """The configuration of `python -m lookout.backup.run`."""

    parts_dir: Path = Path("/etc/lookout/backup.d")
    stage_dir: Path = Path("/var/lib/lookout/backup/stage")
    state_file: Path = Path("/var/lib/lookout/backup/state.json")
    lock_file: Path = Path("/var/lib/lookout/backup/lock")
    metrics_file: Path = Path("/var/lib/prometheus/node-exporter/backup.prom")
    # Whether there have to be any
    has_parts: bool = True
    # All parts together; each has a limit of its own besides.
    timeout_seconds: float = option(6 * 3600.0, at_least=1, at_most=86400)
    # What a copy has to leave free for the services, and a backup at the store
    reserve_megabytes: int = option(256, at_least=0)
    # Before each further try where the way to the store broke
    retry_seconds: tuple[float, ...] = (5.0, 20.0, 60.0, 180.0)
