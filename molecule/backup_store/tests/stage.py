"""What the hosts of the scenario are asked for, as the programs of the backup ask for it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from hosts import connect
from testinfra.backend.base import CommandResult
from testinfra.host import Host

PATH = "/backup/monitoring"
MARKER = f"{PATH}/.lookout-store"
UNIT = "lookout-backup_store.service"
PROM = "/var/lib/prometheus/node-exporter/backup_store.prom"
PASSWORDS = "/etc/lookout/backup_store.passwords"
KEYS = "/var/lib/lookout/store/.ssh/authorized_keys"
# On every host, of the tests
PASSWORD = "/root/password"  # noqa: S105
DAY = 86400


def ssh(host: Host, folder: str = "/etc/lookout/backup.ssh") -> str:
    """The command of lookout.backup.restic.ssh()."""
    address = "127.0.0.1" if host.backend.name.endswith("-store") else "store"
    return (
        f"ssh -F none -i {folder}/key -o BatchMode=yes -o IdentitiesOnly=yes"
        f" -o StrictHostKeyChecking=yes -o UserKnownHostsFile={folder}/known_hosts"
        f" -o GlobalKnownHostsFile=none lookout-store@{address}"
    )


def restic(
    host: Host,
    arguments: str,
    repository: str = "",
    folder: str = "/etc/lookout/backup.ssh",
    prefix: str = "",
) -> CommandResult:
    """restic on a host, against the store."""
    name = repository or host.backend.name.rpartition("-")[2]
    return host.run(
        f"{prefix} env RESTIC_PASSWORD_FILE={PASSWORD} RESTIC_CACHE_DIR=/root/cache"
        f" RESTIC_PROGRESS_FPS=0.01 restic -o rclone.program='{ssh(host, folder)}' -o rclone.args=serve"
        f" --repo rclone:{name} {arguments}"
    )


def snapshots(host: Host) -> list[dict[str, Any]]:
    shown = restic(host, "snapshots --no-lock --json")
    assert shown.rc == 0, shown.stderr
    return list(json.loads(shown.stdout) or [])


def ids(host: Host) -> set[str]:
    return {str(one["id"]) for one in snapshots(host)}


def save(host: Host, paths: str, tags: str, when: float | None = None) -> str:
    """Save, as role backup does it; returns the id of the snapshot."""
    name = host.backend.name.rpartition("-")[2]
    dated = ""
    if when is not None:
        dated = f"--time '{time.strftime('%F %T', time.gmtime(when))}'"
    before = ids(host)
    done = restic(host, f"backup {paths} --host {name} {tags} {dated}")
    assert done.rc == 0, done.stderr
    (made,) = ids(host) - before
    return made


def give_password(host: Host) -> None:
    """What systemd gives to the backup of a host."""
    name = host.backend.name.rpartition("-")[2]
    password = connect("store").check_output(f"cat {PASSWORDS}/{name}")
    host.check_output("sh -c %s", f"umask 077; printf %s '{password}' > {PASSWORD}")


def upkeep() -> tuple[int, dict[str, float]]:
    """A night at the store: the exit status of its unit, and the metrics."""
    store = connect("store")
    store.run(f"systemctl reset-failed {UNIT}")
    store.run(f"systemctl start {UNIT}")
    status = store.check_output(f"systemctl show --property=ExecMainStatus --value {UNIT}")
    shown = store.check_output(f"cat {PROM}")
    found = re.finditer(r"^lookout_backup_store_([^# ]*) (\S+)$", shown, re.M)
    return int(status), {one[1]: float(one[2]) for one in found}


def journal(since: float) -> str:
    return str(
        connect("store").check_output(f"journalctl --no-pager -u {UNIT} --since=@{since:.0f}")
    )


def now() -> float:
    # A line of the second before is none of this test.
    time.sleep(1)
    return float(connect("store").check_output("date +%s"))
