"""What the forecaster's benchmark counts, and how it is printed."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# What the alert ForecastAnomaly waits for: flags at both ends of that time.
ALERT_SECONDS = 600


@dataclass
class Tally:
    """Errors by method, verdicts on anomalies, time."""

    errors: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    coverage: list[tuple[float, float]] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    pss_kb: int = 0


def report(kind: str, tally: Tally, ahead: tuple[str, str]) -> None:
    """What one kind gave, a quarter of a season ahead and a whole one."""
    count, counts = len(tally.ratios), tally.counts
    means: dict[str, Any] = {name: np.mean(found, axis=0) for name, found in tally.errors.items()}
    naive, oracle = means["seasonal naive"], means.get("oracle")
    against = ", of the oracle's" if oracle is not None else ""
    print(f"{kind}, {count} series: MASE {' and '.join(ahead)} ahead, of naive's{against}")
    for name, (near, whole) in means.items():
        line = (
            f"  {name:18} {near:6.3f} {whole:6.3f}   {near / naive[0]:6.3f} {whole / naive[1]:6.3f}"
        )
        if oracle is not None:
            line += f"   {near / oracle[0]:6.2f} {whole / oracle[1]:6.2f}"
        print(line)
    here, published = np.mean(tally.coverage, axis=0)
    chosen = ", ".join(
        f"{name[7:]} {number}" for name, number in counts.most_common() if name.startswith("method")
    )
    print(
        f"  published ratio to naive {np.mean(tally.ratios):.3f}; coverage of the 90 % band "
        f"{here:.3f}, published {published:.3f}\n"
        f"  worse than naive on the day that came: {counts['worse']} of {count}; "
        f"said to have no skill: {counts['without skill']}; chosen: {chosen}"
    )
    false = counts["episodes"] - counts["episodes near"]
    print(
        f"  anomalies: precision {counts['flags near'] / max(1, counts['flags']):.3f} of slots, "
        f"{counts['episodes near'] / max(1, counts['episodes']):.3f} of episodes, recall "
        f"{counts['events found'] / max(1, counts['events']):.3f} of {counts['events']} events, "
        f"{false / max(1, counts['days']):.4f} false episodes a series a day"
    )
    false = counts["alerts"] - counts["alerts near"]
    print(
        f"  alerts, after {ALERT_SECONDS // 60} minutes: precision "
        f"{counts['alerts near'] / max(1, counts['alerts']):.3f} of {counts['alerts']}, recall "
        f"{counts['long events found'] / max(1, counts['long events']):.3f} of the "
        f"{counts['long events']} events that last so long, "
        f"{false / max(1, counts['days']):.4f} false ones a series a day"
    )
    spent = sorted(tally.milliseconds)
    print(
        f"  CPU a series: median {statistics.median(spent):.2f} ms, 95 % "
        f"{spent[int(0.95 * len(spent))]:.2f} ms; peak PSS {tally.pss_kb / 1024:.0f} MB"
    )
