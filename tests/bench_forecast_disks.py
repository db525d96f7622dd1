"""When disks will be full: the forecaster's crossing beside predict_linear, on generated disks.

A disk fills steadily, breathes with the day, holds a backup for two hours a night, and is cleaned
up now and then. One in five begins to fill in its last hours, as by a log that nobody rotates. What
is asked of each: is it full within 24 hours, within four days? What came tells.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf

import numpy as np

from lookout.forecaster.crossing import Crossing
from lookout.forecaster.series import Floats, Series, Settings, prepare
from lookout.forecaster.training import train
from lookout.forecaster.until import until_upper
from tests.forecast_series import START, autoregressive

STEP, SLOTS, DAYS = 300, 288, 14
ASKED_DAYS = (1, 4)
FULL = 100.0
MEASURED = range(300)


@dataclass(frozen=True)
class Disk:
    """Percent used: history (n,), and after how many days it is full; inf: not within 14."""

    history: Floats
    full_days: float


def disk(seed: int) -> Disk:
    """14 days at 5 minutes, followed for 14 more."""
    random = np.random.default_rng([3, seed])
    size = 2 * DAYS * SLOTS
    now = DAYS * SLOTS
    at = np.arange(size) / SLOTS
    slope = random.choice([0.0, random.uniform(0.2, 1), random.uniform(1, 6)])
    values = slope * at + random.uniform(0.1, 1) * np.sin(2 * np.pi * (at + random.random()))
    values += random.uniform(0.5, 3) * (((at + random.random()) % 1) < 2 / 24)
    values += random.uniform(0.05, 0.5) * autoregressive(random, size, SLOTS / 8)
    for place in random.integers(0, now, size=random.poisson(1)):
        values[place:] -= random.uniform(3, 15)
    if random.random() < 0.2:
        begins = now - int(random.integers(SLOTS // 12, SLOTS // 4))
        values[begins:] += random.uniform(1, 8) / 12 * np.arange(size - begins)
    left = random.uniform(2, 40)
    values += FULL - left - values[now - 1]
    past = np.flatnonzero(values[now:] >= FULL)
    return Disk(np.maximum(values[:now], 0), float(past[0] + 1) / SLOTS if len(past) else inf)


def predicted(history: Floats, hours: int) -> float:
    """Days until predict_linear(x[hours], t) passes the bound."""
    values = history[-12 * hours :]
    slope, start = np.polyfit(np.arange(-len(values) + 1, 1), values, 1)
    return float((FULL - start) / slope / SLOTS) if slope > 0 else inf


def ours(history: Floats) -> Crossing:
    """As in service: trained the day before, asked now."""
    settings = Settings(STEP, upper=FULL)
    times = START + STEP * np.arange(len(history), dtype=float)
    prepared = []
    for upto in (len(history) - SLOTS, len(history)):
        made = prepare(times[:upto], history[:upto], settings, START + STEP * upto)
        assert isinstance(made, Series), made
        prepared.append(made)
    found = until_upper(train(prepared[0]), prepared[1])
    assert isinstance(found, Crossing), found
    return found


def measure_disks(count: int = len(MEASURED)) -> None:
    """Print what each says of the same disks."""
    counts: Counter[tuple[str, int, bool, bool]] = Counter()
    inside, off = [], []
    for seed in MEASURED[:count]:
        one = disk(seed)
        found = ours(one.history)
        said = {
            "ours": found.likely / 86_400,
            "predict_linear 6 h": predicted(one.history, 6),
            "predict_linear 24 h": predicted(one.history, 24),
        }
        for name, days in said.items():
            for asked in ASKED_DAYS:
                counts[name, asked, one.full_days <= asked, days <= asked] += 1
        if one.full_days < DAYS:
            inside.append(found.earliest <= one.full_days * 86_400 <= found.latest)
            off.append(abs(min(said["ours"], DAYS) - one.full_days) / one.full_days)
    print(f"disks, {count}: full within the time, and said to be")
    for name in said:
        for asked in ASKED_DAYS:
            hit, miss, false, right = (
                counts[name, asked, true, told]
                for true, told in ((True, True), (True, False), (False, True), (False, False))
            )
            print(
                f"  {name:20} {asked} days: recall {hit / max(1, hit + miss):.2f} of {hit + miss}, "
                f"precision {hit / max(1, hit + false):.2f}, false {false} of {false + right}"
            )
    print(
        f"  ours: median error {np.median(off):.0%} of the time left, "
        f"the true time between earliest and latest for {np.mean(inside):.0%} of {len(inside)}"
    )
