"""What the store remembers of each repository from night to night, and the metrics made of it."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from lookout.backup.store_options import Room
from lookout.kit.files import write_atomically
from lookout.kit.metrics import write_textfile

log = logging.getLogger("lookout.backup.store")

PREFIX = "lookout_backup_store"


@dataclass
class Part:
    """Of one part: times in seconds since 1970, None where nothing is good or nothing is there."""

    snapshots: int = 0
    oldest: float | None = None
    newest_good: float | None = None
    # Of good snapshots, after the oldest one
    nights: int = 0
    # Since when the host says that it has it no more
    dropped: float | None = None


@dataclass
class Notes:
    """Of one repository."""

    # When there was last time to look after it
    tried: float | None = None
    # Which of the nights' shares of the data is read next
    next_share: int = 1
    check_success: bool | None = None
    check_time: float | None = None
    prune_time: float | None = None
    # On how many nights it was left out since, for an upload that is not done
    unpruned: int = 0
    bytes: int | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    # Where the second copy is, and its id there
    copy_to: str = ""
    copy_id: str = ""
    copy_time: float | None = None
    copy_check_time: float | None = None
    # When the store got what the copy has
    copy_arrivals: dict[str, float] = field(default_factory=dict)


@dataclass
class State:
    """All that is kept in the file."""

    last_run: float | None = None
    last_success: float | None = None
    hosts: dict[str, Notes] = field(default_factory=dict)

    def begin(self, now: float) -> None:
        """A run begins. What is dated in the future, by a clock that was wrong, keeps nothing from
        being done, and nothing quiet: what is due by it is due now, and its age counts from now.
        """
        self.last_run, self.last_success = now, _past(self.last_success, now)
        for notes in self.hosts.values():
            notes.tried = _due(notes.tried, now)
            notes.copy_check_time = _due(notes.copy_check_time, now)
            notes.check_time = _past(notes.check_time, now)
            notes.prune_time = _past(notes.prune_time, now)
            notes.copy_time = _past(notes.copy_time, now)


def _past(moment: float | None, now: float) -> float | None:
    return None if moment is None else min(moment, now)


def _due(moment: float | None, now: float) -> float | None:
    return None if moment is None or moment > now else moment


def read(file: Path) -> State:
    """The state; an empty one where there is none, or none that can be read, which is said."""
    try:
        data: Any = json.loads(file.read_text(encoding="utf-8"))
        hosts = {}
        for host, notes in data["hosts"].items():
            parts = {name: Part(**part) for name, part in notes.pop("parts").items()}
            hosts[host] = Notes(**notes, parts=parts)
        return State(data["last_run"], data["last_success"], hosts)
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("begins with nothing in mind, as %s cannot be read: %r", file, error)
        return State()


def write(file: Path, state: State) -> None:
    """Keep it for the next night."""
    write_atomically(file, json.dumps(dataclasses.asdict(state), indent=1) + "\n", 0o600)


def publish(file: Path, state: State, room: Room | None) -> None:
    """Write the metrics. Without `room` the destination is not there."""
    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", about, labels, registry=registry)

    gauge("mounted", "Whether the destination is the mount that it should be.").set(bool(room))
    if room:
        gauge("free_bytes", "Free space of its filesystem.").set(room.free)
        gauge("size_bytes", "Size of its filesystem.").set(room.size)
    for name, about, when in (
        (
            "last_run_timestamp_seconds",
            "When the repositories were last looked after.",
            state.last_run,
        ),
        ("last_success_timestamp_seconds", "When all of that was last well.", state.last_success),
    ):
        if when is not None:
            gauge(name, about).set(when)
    hosts = state.hosts
    _by_host(gauge("repository_bytes", "Size of a repository.", "host"), hosts, "bytes")
    _by_host(
        gauge("last_check_success", "Whether the last check found nothing wrong.", "host"),
        hosts,
        "check_success",
    )
    _by_host(
        gauge("last_check_timestamp_seconds", "When it was last checked.", "host"),
        hosts,
        "check_time",
    )
    _by_host(
        gauge("last_prune_timestamp_seconds", "When it was last pruned.", "host"),
        hosts,
        "prune_time",
    )
    if any(notes.copy_time for notes in hosts.values()):
        _by_host(
            gauge("copy_last_success_timestamp_seconds", "When it was last copied.", "host"),
            hosts,
            "copy_time",
        )
    for name, about, key in (
        ("snapshots", "Snapshots of a part.", "snapshots"),
        ("nights", "Nights of good ones after the oldest snapshot.", "nights"),
        ("oldest_timestamp_seconds", "When the oldest was made.", "oldest"),
        ("newest_good_timestamp_seconds", "When the newest good one was made.", "newest_good"),
        ("dropped_timestamp_seconds", "Since when the host has the part no more.", "dropped"),
    ):
        _by_part(gauge(name, about, "host", "part"), hosts, key)
    write_textfile(registry, file)


def _by_host(gauge: Gauge, hosts: Mapping[str, Notes], name: str) -> None:
    for host, notes in hosts.items():
        value = getattr(notes, name)
        if value is not None:
            gauge.labels(host).set(float(value))


def _by_part(gauge: Gauge, hosts: Mapping[str, Notes], name: str) -> None:
    for host, notes in hosts.items():
        for part, known in notes.parts.items():
            value = getattr(known, name)
            if value is not None:
                gauge.labels(host, part).set(float(value))
