"""Settings of a PostgreSQL server, derived from the machine that it runs on.

Where the rules come from stands in the README of the role postgresql, with a table of results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

GB = 1024
# Below that PostgreSQL and Debian beside it do not fit.
LEAST_MEMORY_MB = 256
# What a session takes beside work_mem: its catalog caches and page tables.
SESSION_MB = 5
# Sorts and hashes that one session of an ordinary application has at once.
SORTS_A_SESSION = 3
# PostgreSQL's own default of autovacuum_max_workers
AUTOVACUUM_WORKERS = 3

_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


def clamp(value: float, least: int, most: int) -> int:
    return int(min(max(value, least), most))


def rounded_mb(memory_mb: int) -> int:
    """Memory as it is sold: a kernel update that takes 2 MB more must not ask for a restart."""
    step = 64 if memory_mb < 4 * GB else 512
    return max(step, round(memory_mb / step) * step)


def postgresql_tuned(memory_mb: int, cores: int, disk_mb: int) -> dict[str, str]:
    """Settings for a server that has so much memory, so many cores and such a disk to itself.

    Args:
        memory_mb: memory for PostgreSQL and the page cache below it, in MB of 2^20 bytes.
        cores: processors.
        disk_mb: size of the file system that the data lie on, in MB.

    Returns:
        setting -> value as it stands in postgresql.conf, units included.

    Raises:
        AnsibleFilterError: for a machine that is too small to be one.
    """
    memory_mb, cores, disk_mb = int(memory_mb), int(cores), int(disk_mb)
    if memory_mb < LEAST_MEMORY_MB or cores < 1 or disk_mb < 1:
        raise AnsibleFilterError(
            f"postgresql: {memory_mb} MB of memory, {cores} cores, {disk_mb} MB of disk: at least "
            f"{LEAST_MEMORY_MB} MB, 1 core and a disk are needed"
        )
    memory = rounded_mb(memory_mb)
    shared = clamp(memory / 4, 64, 16 * GB)
    connections = clamp((20 + memory / 50) // 10 * 10, 20, 200)
    maintenance = clamp(memory / 16, 16, 2 * GB)
    autovacuum = clamp(memory / 32, 16, 512)
    # What is left when all sessions are there and all vacuums run, shared by their sorts
    left = memory - shared - maintenance - AUTOVACUUM_WORKERS * autovacuum
    left -= connections * SESSION_MB
    work = clamp(left / (connections * SORTS_A_SESSION), 1, 64)
    # A tenth of the disk: the log of changes must not be what fills it.
    wal = clamp(min(memory, disk_mb / 10), 256, 16 * GB)
    kept = clamp(max(wal, disk_mb / 10), 256, 64 * GB)
    return {
        "max_connections": str(connections),
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{memory * 3 // 4}MB",
        "work_mem": f"{work}MB",
        "maintenance_work_mem": f"{maintenance}MB",
        "autovacuum_work_mem": f"{autovacuum}MB",
        "min_wal_size": f"{max(80, wal // 4)}MB",
        "max_wal_size": f"{wal}MB",
        "max_slot_wal_keep_size": f"{kept}MB",
        "max_worker_processes": str(max(8, cores)),
        "max_parallel_workers": str(cores),
        "max_parallel_workers_per_gather": str(clamp(cores // 2, 0, 4)),
        "max_parallel_maintenance_workers": str(clamp(cores // 2, 0, 4)),
    }


def postgresql_at_least(settings: Mapping[str, Any], least: Mapping[str, int]) -> dict[str, Any]:
    """The settings, each of `least` being that of the primary or more.

    A standby with less of one of them stops replaying.
    """
    return {
        **settings,
        **{
            name: str(value)
            for name, value in least.items()
            if int(str(settings.get(name, 0))) < value
        },
    }


def postgresql_value(value: object) -> str:
    """A value as it stands in postgresql.conf; a list becomes one with commas."""
    if isinstance(value, bool):
        return "on" if value else "off"
    many = value if isinstance(value, list | tuple) else [value]
    text = ", ".join(str(one) for one in many)
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def postgresql_setting_problems(settings: Mapping[str, Any], own: Mapping[str, str]) -> list[str]:
    """What is wrong with settings of the inventory as such; their meaning is the server's to judge.

    `own` names settings that the role decides itself, each with what to set in its place.
    """
    problems = []
    for name, value in settings.items():
        where = f"postgresql_settings: {name}"
        if not _SETTING.fullmatch(str(name)):
            problems.append(f"{where!s} is no name of a setting (a-z, 0-9, _, one dot)")
        elif name in own:
            problems.append(f"{where} is the role's own: {own[name]}")
        elif value is None or isinstance(value, Mapping):
            problems.append(f"{where} must be a text, a number, true, false or a list of texts")
        elif "\n" in postgresql_value(value) or "\0" in postgresql_value(value):
            problems.append(f"{where} must stand on one line")
    return problems


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "postgresql_tuned": postgresql_tuned,
            "postgresql_at_least": postgresql_at_least,
            "postgresql_value": postgresql_value,
            "postgresql_setting_problems": postgresql_setting_problems,
        }
