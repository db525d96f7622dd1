"""The forecaster beside what else forecasts, on generated and on real series.

Generator A (tests/forecast_series.py) is of the kind that its parameters were chosen on, with other
seeds; B is of another kind. Flights and weather are real (tests/forecast_real.py). Nothing was
chosen on those three. The history of each series is forecast once, a day ahead, and compared with
the day that came. Anomalies are looked for as in service: train on the days before, judge the next,
for each of the last days. In real series they are injected, and what truly was unusual (a storm, a
holiday) counts as a false alarm. What was recorded of a machine (tests/forecast_recorded.py) has no
season, and no anomalies are injected there: all that are found count as false.

- MASE: mean absolute error in units of the seasonal naive error within the history, mean of series.
- Precision: of flagged slots (and of episodes: flags less than an hour apart) that are within three
  slots of an injected event. A level that jumps is no event, and no false alarm for a season and a
  half. Recall: of the events of these days, whichever slot of it was flagged. Alerts: the same of
  episodes and events that last as long as the alert waits.
- CPU: prepare, train (which chooses), forecast and score; PSS of the process that does just this.

Anomalies are looked for in every third series; MSTL runs on every 25th, where statsforecast is
installed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT, ROOT / "files/agents/src"):
    sys.path.insert(0, str(place))
# As in service; and one processor's time is what is measured. The second is for the processes that
# measure.
os.environ |= {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "4194304",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}

import numpy as np  # noqa: E402

from lookout.forecaster.baseline import Flags  # noqa: E402
from lookout.forecaster.model import Forecast, Model, Seen, forecast, look  # noqa: E402
from lookout.forecaster.series import Floats, Refused, Series, Settings, on_grid, prepare  # noqa: E402
from lookout.forecaster.training import train  # noqa: E402
from tests.bench_forecast_disks import measure_disks  # noqa: E402
from tests.bench_forecast_kinds import KINDS  # noqa: E402
from tests.bench_forecast_report import ALERT_SECONDS, Tally, report  # noqa: E402
from tests.bench_forecast_rivals import known, mstl, predict_linear  # noqa: E402
from tests.forecast_real import PACKAGE  # noqa: E402
from tests.forecast_series import MEASURED, Generated  # noqa: E402

REQUIREMENTS = "tests/bench_forecast_requirements.txt"
MSTL_EVERY = 25
WATCH_EVERY = 3
NEAR_EVENT = 3


def a_day(series: Generated) -> int:
    """The slots of one; of what was recorded, of a season."""
    return series.season_seconds // series.step_seconds


def ready(series: Generated, slots: int) -> Series | Refused:
    """As prepared when the first `slots` of it were there."""
    settings = Settings(series.step_seconds, series.season_seconds)
    now = series.times[0] + slots * series.step_seconds
    return prepare(series.times[:slots], series.history[:slots], settings, now)


def foretell(series: Generated, tally: Tally) -> None:
    """One forecast of a day, beside the simple ones and the oracle."""
    day, size = a_day(series), len(series.history)
    started = time.process_time()
    prepared = ready(series, size)
    assert isinstance(prepared, Series), prepared
    model = train(prepared)
    made = forecast(model, prepared)
    tally.milliseconds.append(1000 * (time.process_time() - started))
    assert isinstance(made, Forecast)
    filled = known(series.history, day)
    scale = float(np.nanmean(np.abs(series.history[day:] - series.history[:-day])))
    paths = {
        "seasonal naive": filled[-day:],
        "naive, a week ago": filled[-7 * day : -6 * day],
        "predict_linear": predict_linear(series.history, day),
        "ours": made.values,
        **({"oracle": series.oracle} if len(series.oracle) else {}),
    }
    for name, path in paths.items():
        note(tally, name, series, path, scale)
    naive, ours = (tally.errors[name][-1][1] for name in ("seasonal naive", "ours"))
    tally.counts["worse"] += ours > naive
    tally.counts["method " + model.method] += 1
    tally.counts["without skill"] += not model.skill
    inside = (series.future >= made.lower) & (series.future <= made.upper)
    tally.coverage.append((float(inside.mean()), model.quality.coverage))
    tally.ratios.append(model.quality.ratio)


def note(tally: Tally, name: str, series: Generated, path: Floats, scale: float) -> None:
    off = np.abs(series.future - path) / scale
    quarter = a_day(series) // 4
    tally.errors.setdefault(name, []).append((float(off[:quarter].mean()), float(off.mean())))


def watch(series: Generated, first_day: int, tally: Tally) -> None:
    """Judge each day from `first_day` on by a model of the days before it."""
    day, size = a_day(series), len(series.history)
    wait = ALERT_SECONDS // series.step_seconds + 1
    flags = np.zeros(size, dtype=bool)
    model: Model | None = None
    for begin in range(first_day * day, size, day):
        # Where the newest hours are a gap there is no training: the model of the day before stays.
        made = ready(series, begin)
        model = train(made) if isinstance(made, Series) else model
        tally.counts["days"] += 1
        if model is None or not model.skill:  # raises no alert
            continue
        upto = begin + day
        times, values = series.times[:upto], series.history[:upto]
        now = times[0] + upto * series.step_seconds
        recent = on_grid(times, values, model.settings, now, 2 * day)
        assert isinstance(recent, Series)
        seen = look(model, recent)
        flags[begin:upto] = isinstance(seen, Seen) and seen.scores.flags
    near = np.zeros(size, dtype=bool)
    for shift in series.shifts:
        near[shift : shift + 3 * day // 2] = True
    for event in series.events:
        near[max(0, event.first - NEAR_EVENT) : event.last + NEAR_EVENT + 1] = True
        here = slice(event.first, event.last + 1)
        if event.first >= first_day * day and np.isfinite(series.history[here]).any():
            tally.counts["events"] += 1
            tally.counts["events found"] += bool(flags[here].any())
            if event.last + 1 - event.first >= wait:
                tally.counts["long events"] += 1
                tally.counts["long events found"] += lasts(flags[here], wait)
    places = np.flatnonzero(flags)
    tally.counts["flags"] += len(places)
    tally.counts["flags near"] += int(near[places].sum())
    apart = 3600 // series.step_seconds
    for episode in np.split(places, np.flatnonzero(np.diff(places) > apart) + 1):
        if len(episode):
            tally.counts["episodes"] += 1
            tally.counts["episodes near"] += bool(near[episode].any())
            if lasts(flags[episode[0] : episode[-1] + 1], wait):
                tally.counts["alerts"] += 1
                tally.counts["alerts near"] += bool(near[episode].any())


def lasts(flags: Flags, wait: int) -> bool:
    """Whether so many of them in a row are set."""
    return bool((np.convolve(flags, np.ones(wait), "valid") >= wait).any())


def pss_kb() -> int:
    """Proportional set size of this process now."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def run(kind: str, count: int) -> Tally:
    """All of one kind, in this process."""
    made = KINDS[kind]
    tally = Tally()
    for seed in made.seeds(count):
        foretell(made.forecast(seed), tally)
        tally.pss_kb = max(tally.pss_kb, pss_kb())
        if seed % WATCH_EVERY == 0:
            watch(made.watched(seed), made.first_day, tally)
    return tally


def run_mstl(kind: str, count: int) -> tuple[Tally, list[float]] | None:
    """The rival on some of the series, and its CPU time for each in ms; None: not installed."""
    try:
        import statsforecast  # noqa: F401, PLC0415
    except ImportError:
        return None
    made, tally, milliseconds = KINDS[kind], Tally(), []
    first = made.forecast(0)
    mstl(first.history, a_day(first))  # compiles
    for seed in made.seeds(count)[::MSTL_EVERY]:
        series = made.forecast(seed)
        day = a_day(series)
        scale = float(np.nanmean(np.abs(series.history[day:] - series.history[:-day])))
        started = time.process_time()
        path = mstl(series.history, day)
        milliseconds.append(1000 * (time.process_time() - started))
        note(tally, "MSTL", series, path, scale)
    return tally, milliseconds


def measure(count: int = len(MEASURED)) -> None:
    """Print all kinds side by side; each runs in a process of its own."""
    for kind, made in KINDS.items():
        if not made.there():
            print(f"{kind}: left out, {PACKAGE} is not installed (pip install -r {REQUIREMENTS})")
            continue
        argv = [sys.executable, __file__, kind, str(count)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=3000)
        tally = Tally(**json.loads(done.stdout))
        tally.counts = Counter(tally.counts)
        report(kind, tally, made.ahead)
        rival = run_mstl(kind, count)
        if rival is None:
            print(f"MSTL: left out, statsforecast is not installed (pip install -r {REQUIREMENTS})")
        else:
            near, whole = np.mean(rival[0].errors["MSTL"], axis=0)
            own = np.mean(tally.errors["ours"][::MSTL_EVERY], axis=0)
            print(
                f"MSTL on every {MSTL_EVERY}th: MASE {near:.3f} and {whole:.3f}, ours on the same "
                f"{own[0]:.3f} and {own[1]:.3f}; {statistics.median(rival[1]):.0f} ms a series"
            )
    measure_disks()


if __name__ == "__main__":
    json.dump(vars(run(sys.argv[1], int(sys.argv[2]))), sys.stdout)
