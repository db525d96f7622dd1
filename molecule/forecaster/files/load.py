"""A load that follows the day: its past, for promtool, and its present, as a text file.

    load.py past INSTANCE NOW JUMPED > samples.txt
    load.py live FILE NOW       goes on from there, and is 40 higher while /root/jump exists,
                                as the past was for an hour from JUMPED on

`web` and `db` have a season, a trend and noise. `turned` is upside down until a day ago: a model
that has learnt from its past does badly now. The disk is full in three days, `flat` never moves,
and `young` has a past of an hour.
"""

import math
import os
import random
import sys
import time
from pathlib import Path

DAY = 86_400
DAYS = 14
STEP = 30
SIZES = {"web": 1.0, "db": 0.5, "turned": 1.0}
JUMP = Path("/root/jump")
JUMP_SIZE = 40


def value(kind, at, began):
    """What is measured at a moment; `began` is when the present does."""
    season = 20 * math.sin(2 * math.pi * at / DAY)
    if kind == "turned" and at < began - DAY:
        season = -season
    noise = random.Random(f"{kind}{at}").gauss(0, 1)  # noqa: S311 -- the same in every run
    return SIZES[kind] * (45 + season + 0.3 * (at - began) / DAY + noise)


def disk(at, began):
    """How much of it is in use."""
    return 91 + 3 * (at - began) / DAY + random.Random(at).gauss(0, 0.05)  # noqa: S311


def past(instance, began, jumped):
    """With the labels that Prometheus gives the text file's."""
    own = f'instance="{instance}",job="node_exporter"'
    start = began - DAYS * DAY
    print("# TYPE lookout_test_load gauge")
    for kind in SIZES:
        for at in range(start, began + 1, STEP):
            high = JUMP_SIZE if kind == "web" and jumped <= at < jumped + 3600 else 0
            sample = value(kind, at, began) + high
            print(f'lookout_test_load{{{own},kind="{kind}"}} {sample:.6f} {at}')
    print("# TYPE lookout_test_disk gauge")
    for at in range(start, began + 1, 300):
        print(f"lookout_test_disk{{{own}}} {disk(at, began):.6f} {at}")
    for name, first in (("flat", start), ("young", began - 3600)):
        print(f"# TYPE lookout_test_{name} gauge")
        for at in range(first, began + 1, 300):
            print(f"lookout_test_{name}{{{own}}} 3 {at}")
    print("# EOF")


def live(file, began):
    """Until it is stopped."""
    while True:
        at = int(time.time())
        lines = ["# TYPE lookout_test_load gauge"]
        for kind in SIZES:
            jump = JUMP_SIZE if kind == "web" and JUMP.exists() else 0
            now = value(kind, at, began) + jump
            lines.append(f'lookout_test_load{{kind="{kind}"}} {now:.6f}')
        lines += ["# TYPE lookout_test_disk gauge", f"lookout_test_disk {disk(at, began):.6f}"]
        for name in ("flat", "young"):
            lines += [f"# TYPE lookout_test_{name} gauge", f"lookout_test_{name} 3"]
        part = file.with_suffix(".part")
        part.write_text("\n".join([*lines, ""]), encoding="ascii")
        os.replace(part, file)
        time.sleep(1)


if sys.argv[1] == "past":
    past(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    live(Path(sys.argv[2]), int(sys.argv[3]))
