"""What the sensor service's configuration may say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookout.kit.config import option
from lookout.kit.options import Options


@dataclass(frozen=True)
class Files:
    """Where other programs drop values, and how much of that is taken."""

    directory: Path = Path("/run/lookout/sensor")
    # What was written longer ago says nothing about now.
    max_age_seconds: float = option(120.0, at_least=1)
    most_files: int = option(32, at_least=1, at_most=200)
    most_values_per_file: int = option(50, at_least=1, at_most=500)


@dataclass(frozen=True, kw_only=True)
class SensorOptions(Options):
    """All that the sensor service reads from its file."""

    # Of the page and of the metrics; the kit's own server has none. 0 in tests: any free one
    port: int = option(8000, at_least=0, at_most=65535)
    interval_seconds: float = option(10.0, at_least=0.2, at_most=300)
    # Filesystems, each by a path on it
    disks: tuple[Path, ...] = (Path("/"),)
    files: Files = Files()

    def problems(self) -> Iterator[str]:
        """Find what no single field shows."""
        if self.metrics.port:
            yield "metrics.port: must be 0, as the service's own server shows the metrics"
