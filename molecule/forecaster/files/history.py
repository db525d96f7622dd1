"""What the forecaster would have told Prometheus in the last hours, had it run: for promtool.

    history.py CONFIG INSTANCE NOW HOURS > samples.txt

The models know nothing of these hours, and each forecast knows nothing of what came after it.
"""

import contextlib
import logging
import re
import sys
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import replace
from pathlib import Path

from lookout.forecaster.answers import Samples
from lookout.forecaster.files import files
from lookout.forecaster.jobs.forecast import Run
from lookout.forecaster.jobs.train import Training
from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.prometheus import Prometheus
from lookout.kit import config

EVERY = 300
SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")


class Answer(list):
    """The series of one, which warns of nothing."""

    warnings = ()


class Kept(Prometheus):
    """Asks for all of a query once, and answers from that."""

    first = last = 0

    def __init__(self, source):
        super().__init__(source)
        self.known = {}

    @contextlib.contextmanager
    def range(self, query, start, end, step):
        if query not in self.known:
            begins = range(self.last, self.first, -step * 10_000)
            series = {}
            for until in begins:
                begin = max(self.first, until - step * 9_999)
                with super().range(query, begin, until, step) as answer:
                    for one in answer:
                        held = series.setdefault(tuple(sorted(one.labels.items())), ({}, one))[0]
                        held.update(zip(one.times, one.values, strict=True))
            self.known[query] = [(one.labels, sorted(held), held) for held, one in series.values()]
        found = Answer()
        for labels, times, held in self.known[query]:
            inside = times[bisect_left(times, start) : bisect_right(times, end)]
            if inside:
                values = array("d", [held[at] for at in inside])
                found.append(Samples(labels, array("d", inside), values))
        yield found


def told(text, instance, at):
    """The samples as they would have been scraped then."""
    own = f'instance="{instance}",job="forecaster"'
    for name, labels, value in map(re.Match.groups, SAMPLE.finditer(text)):
        yield f"{name}{{{labels},{own}}} {value} {at}"


def main():
    """As the timers would have done: one training, and forecasts from then on."""
    text, instance, now, hours = Path(sys.argv[1]).read_text(), *sys.argv[2:]
    options = config.parse(ForecasterOptions, text, sys.argv[1])
    last = int(now) // EVERY * EVERY
    first = last - int(hours) * 3600
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        options = replace(
            options,
            **{f"{what}_directory": Path(folder) for what in ("models", "state", "run")},
        )
        source = Kept(options.source)
        source.first, source.last = first - options.history_days * 86_400, last
        Training(options, source, first).run()
        for at in range(first + EVERY, last, EVERY):
            Run(options, source, at).run()
            # It runs a little after the full step, and is scraped every few seconds.
            text = files(options).forecasts_told.read_text()
            print("\n".join(told(text, instance, at + 30)))
    print("# EOF")


main()
