"""The samples of a query: asked in pieces, of so many series and no more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from lookout.forecaster.answers import Samples
from lookout.forecaster.identity import Identity, Labels, identify
from lookout.forecaster.options import SeriesOptions
from lookout.forecaster.prometheus import Prometheus

LOG = logging.getLogger("lookout.forecaster")

# What a Prometheus answers for one series
MOST_POINTS = 11_000
# Of all series in one answer, so that neither side takes much memory for it
MOST_POINTS_AT_ONCE = 100_000
# What had no value in this part of a season has ended (lookout.forecaster.series.MOST_AGE).
FRESH = 8


@dataclass
class Collected:
    """What a query returned: samples by identity, and how many series were left out.

    `refused` are series that cannot be told apart by their target.
    """

    series: dict[Identity, Samples] = field(default_factory=dict)
    refused: dict[Identity, str] = field(default_factory=dict)
    over_limit: int = 0
    warnings: tuple[str, ...] = ()


def pieces(start: int, end: int, step: int, series: int, first: int) -> Iterator[tuple[int, int]]:
    """Intervals that cover every step, the newest first; that one has `first` points at most."""
    points = max(2, min(MOST_POINTS, MOST_POINTS_AT_ONCE // max(1, series)))
    now = min(first, points)
    while end >= start:
        begin = max(start, end - (now - 1) * step)
        now = points
        yield begin, end
        end = begin - step


def collect(
    source: Prometheus, name: str, wanted: SeriesOptions, *, end: int, seconds: int, most: int
) -> Collected:
    """The last `seconds` up to `end`, which is a multiple of the step. Raises SourceError.

    The newest piece decides which series there are: what ended before has no future.
    """
    most = min(most, wanted.most_series)
    collected = Collected()
    start = end - seconds + wanted.step_seconds
    chosen: dict[str, Identity] = {}
    fresh = max(1, wanted.season_seconds // FRESH // wanted.step_seconds)
    for begin, until in pieces(start, end, wanted.step_seconds, most, fresh):
        parts: list[tuple[Identity, Samples]] = []
        with source.range(wanted.query, begin, until, wanted.step_seconds) as answer:
            for samples in answer:
                identity = identify(name, samples.labels, wanted.labels)
                if until == end:
                    choose(collected, chosen, identity, samples, most)
                elif chosen.get(identity.id) in collected.series:
                    parts.append((chosen[identity.id], samples))
            collected.warnings = collected.warnings or answer.warnings
        for identity, samples in parts:
            held = collected.series[identity]
            held.times.extend(samples.times)
            held.values.extend(samples.values)
        if not collected.series:
            break
    for warning in collected.warnings:
        LOG.warning("%s: Prometheus warns: %s", name, warning)
    if collected.over_limit:
        LOG.warning(
            "%s returns %d series more than the %d that are forecast: narrow the query, or raise"
            " most_series", name, collected.over_limit, most,
        )  # fmt: skip
    return collected


def choose(
    collected: Collected,
    chosen: dict[str, Identity],
    identity: Identity,
    samples: Samples,
    most: int,
) -> None:
    """Take a series of the newest piece, or count it."""
    if identity.id in chosen:
        # Nothing but __name__ differs: they would be read as one.
        collected.series.pop(identity, None)
        collected.refused[identity] = (
            "the query returns several metrics of the same labels: take one of them"
        )
        return
    twice = any(other.target == identity.target for other in chosen.values())
    if twice and len(collected.refused) < most:
        collected.refused[identity] = (
            f"another series of the query has the target {identity.target!r} too: name more labels"
        )
    elif twice or len(chosen) >= most:
        collected.over_limit += 1
    else:
        chosen[identity.id] = identity
        collected.series[identity] = samples


def bounds(source: Prometheus, query: str, at: int, most: int) -> list[tuple[Labels, float]]:
    """What a query of bounds returns, up to a number of series. Raises SourceError."""
    found: list[tuple[Labels, float]] = []
    with source.instant(query, at) as answer:
        for samples in answer:
            if len(samples.values) and len(found) < most:
                found.append((samples.labels, samples.values[-1]))
    return found
