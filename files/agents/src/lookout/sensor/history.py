"""The last hour of each series on the page, in rings of a fixed size."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from lookout.sensor.values import FAMILIES, Value

SLOT_SECONDS = 30
SLOTS = 120
# On the page; more are left out, the first ones stay.
MOST_SERIES = 48

Key = tuple[str, tuple[str, ...]]


class Ring:
    """One value a slot: the mean of what was seen in it, NaN where nothing was."""

    def __init__(self) -> None:
        self._means = array("f", [math.nan] * SLOTS)
        self._slot = 0
        self._count = 0

    def put(self, slot: int, value: float) -> None:
        """Take a value in. Slots that were passed over are empty."""
        if slot != self._slot:
            # After a jump of the clock, back or far ahead, nothing of it is known.
            passed = slot - self._slot if 0 < slot - self._slot < SLOTS else SLOTS
            for one in range(slot - passed + 1, slot + 1):
                self._means[one % SLOTS] = math.nan
            self._slot, self._count = slot, 0
        former = self._means[slot % SLOTS] if self._count else 0.0
        self._count += 1
        self._means[slot % SLOTS] = former + (value - former) / self._count

    def last(self, slot: int) -> list[float]:
        """The slots of the hour that ends with `slot`, the oldest first."""
        return [
            self._means[one % SLOTS] if 0 <= self._slot - one < SLOTS else math.nan
            for one in range(slot - SLOTS + 1, slot + 1)
        ]


class History:
    """The rings of all series that have a title."""

    def __init__(self) -> None:
        self._rings: dict[Key, Ring] = {}
        self._seen: dict[Key, int] = {}
        self._counters: dict[Key, tuple[float, float]] = {}
        self._slot = 0

    def add(self, values: Iterable[Value], monotonic: float) -> None:
        """Take in what one collection found; of a counter, its growth a second."""
        slot = self._slot = int(monotonic // SLOT_SECONDS)
        former, self._counters = self._counters, {}
        for one in values:
            about, key = FAMILIES[one.family], (one.family, one.labels)
            if not about.title:
                continue
            value = one.value
            if about.kind == "counter":
                self._counters[key] = (monotonic, value)
                then, before = former.get(key, (monotonic, value))
                # The first time, or a counter that began anew
                if monotonic <= then or value < before:
                    continue
                value = (value - before) / (monotonic - then)
            if key not in self._rings and len(self._rings) >= MOST_SERIES:
                continue
            self._rings.setdefault(key, Ring()).put(slot, value * about.factor)
            self._seen[key] = slot
        for key in [key for key, seen in self._seen.items() if slot - seen >= SLOTS]:
            del self._rings[key], self._seen[key]

    def shown(self) -> list[tuple[Key, list[float]]]:
        """All series with their hour, in the order of the families."""
        order = {name: place for place, name in enumerate(FAMILIES)}
        keys = sorted(self._rings, key=lambda key: (order[key[0]], key[1]))
        return [(key, self._rings[key].last(self._slot)) for key in keys]
