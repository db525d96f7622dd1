"""Where everything lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lookout.forecaster.options import ForecasterOptions


@dataclass(frozen=True)
class Files:
    """Paths, by what is in them."""

    # Of each series its training and its model; what of them Prometheus is told
    trainings: Path
    trainings_told: Path
    # Of each series its forecast; what of them Prometheus is told; what it is told of the run
    forecasts: Path
    forecasts_told: Path
    run_told: Path
    requests: Path
    used_tokens: Path
    lock: Path


def files(options: ForecasterOptions) -> Files:
    """The paths of a configuration."""
    kept, made = options.state_directory, options.run_directory
    return Files(
        trainings=kept / "trainings.book",
        trainings_told=kept / "trainings.prom",
        forecasts=made / "forecasts.book",
        forecasts_told=made / "forecasts.prom",
        run_told=made / "run.prom",
        requests=kept / "requests",
        used_tokens=kept / "used_tokens.json",
        lock=kept / "training.lock",
    )
