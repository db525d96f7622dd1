"""What a series is called: by its query and the labels that it came with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Labels = Mapping[str, str]

# They say how it was measured, not what.
NAMELESS = ("__name__", "job")
# First, as people look for a host
FIRST = ("instance",)
ID_CHARACTERS = 16
# Of a value in a label of ours
MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Identity:
    """One series of a query: `target` tells it from the others, `host` is its instance."""

    series: str
    labels: Labels = field(hash=False)
    target: str
    host: str
    id: str

    @property
    def record(self) -> dict[str, Any]:
        """What every answer about it begins with."""
        return {
            "id": self.id,
            "series": self.series,
            "target": self.target,
            "host": self.host,
            "labels": dict(self.labels),
        }


def identify(series: str, labels: Labels, chosen: tuple[str, ...] = ()) -> Identity:
    """The identity of what a query returned; `chosen` labels make its target."""
    told = {name: value for name, value in sorted(labels.items()) if name != "__name__"}
    names = chosen or tuple(
        sorted(
            (name for name in told if name not in NAMELESS),
            key=lambda name: (name not in FIRST, name),
        )
    )
    target = " ".join(told[name] for name in names if told.get(name))
    digest = hashlib.sha256(json.dumps([series, told]).encode()).hexdigest()
    return Identity(
        series,
        told,
        target[:MOST_CHARACTERS],
        told.get("instance", "")[:MOST_CHARACTERS],
        digest[:ID_CHARACTERS],
    )


def bound_of(labels: Labels, found: list[tuple[Labels, float]]) -> float | None:
    """The bound for a series: of those whose labels are all among its own, the one with most."""
    fitting = [
        (len(own), value)
        for own, value in (
            ({name: what for name, what in one.items() if name != "__name__"}, value)
            for one, value in found
        )
        if all(labels.get(name) == what for name, what in own.items())
    ]
    return max(fitting)[1] if fitting else None
