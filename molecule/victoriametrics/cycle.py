"""One step of a backup and a restore of the live samples: `cycle.py save|judge|put`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, "/root")

from lookout.backup.parts import Victoriametrics
from lookout.backup.sources.victoriametrics import VictoriametricsSource

TOP = Path("/var/lib/cycle")
SERVER = Victoriametrics(
    "http://127.0.0.1:8428", Path("/var/lib/victoria-metrics"), "_victoria-metrics"
)
ONE = VictoriametricsSource(SERVER, 120)
STAGE, SCRATCH, ASIDE = (TOP / name for name in ("stage", "scratch", "aside"))

if sys.argv[1] == "save":
    for folder in (STAGE, SCRATCH, ASIDE):
        folder.mkdir(parents=True)
    ONE.save(STAGE)
    print(json.dumps(ONE.describe(STAGE)["series"]["by_job"]))
elif sys.argv[1] == "judge":
    print(json.dumps([*ONE.judge(STAGE, ONE.describe(STAGE), SCRATCH)]))
else:
    ONE.put(STAGE, ONE.describe(STAGE), ASIDE)
