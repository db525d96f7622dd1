"""What a drill is told: whose backups, how old they may be, where it works and writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookout.backup.options import BackupOptions
from lookout.kit.config import option


@dataclass(frozen=True, kw_only=True)
class DrillOptions(BackupOptions):
    """The configuration of `python -m lookout.backup.drill`."""

    # Whose backups are judged here, by their names in the inventory
    hosts: tuple[str, ...] = option(at_least=1)
    # Parts that are neither judged nor missed: host/part
    skip: tuple[str, ...] = ()
    # Older data is a backup that does not run: nobody would want to go back to it.
    max_age_hours: float = option(50.0, above=0)
    # For all hosts together
    timeout_hours: float = option(6.0, above=0, at_most=48)
    state_dir: Path = Path("/var/lib/lookout/restore_drill")
    metrics_file: Path = Path("/var/lib/prometheus/node-exporter/restore_drill.prom")
    # Of this host's own parts: the commands that check a copy are taken from nowhere else.
    parts_dir: Path = Path("/etc/lookout/backup.d")
    keep_reports: int = option(26, at_least=1)

    @property
    def scratch_dir(self) -> Path:
        """Where copies are restored to; emptied at the start and at the end."""
        return self.state_dir / "scratch"

    @property
    def reports_dir(self) -> Path:
        """Where the reports are, and the page that leads to them."""
        return self.state_dir / "reports"

    def problems(self) -> Iterator[str]:
        """What is wrong across the keys."""
        for number, name in enumerate(self.skip):
            if name.count("/") != 1:
                yield f"skip[{number}]: {name!r} is no part of a host, such as app1/grafana"
