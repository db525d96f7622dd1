"""Trainings that the API was asked for."""

from __future__ import annotations

import logging
import time

from lookout.forecaster.jobs.train import Training
from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.prometheus import Prometheus
from lookout.forecaster.requests import Requests

LOG = logging.getLogger("lookout.forecaster")


def train_asked(options: ForecasterOptions, source: Prometheus, requests: Requests) -> int:
    """Train what all of them want at once, while nobody else trains; 1 without any answer."""
    waiting = requests.unfinished()
    left = [request for request in waiting if request.state == "running"]
    requests.become(left, state="failed", ended=time.time(), said="it was ended before its time")
    todo = [request for request in waiting if request.state == "waiting"]
    # A series that is configured no longer is none of theirs.
    names = {name for request in todo for name in request.series if name in options.series}
    everything = any(not request.series for request in todo)
    if not names and not everything:
        requests.become(todo, state="failed", ended=time.time(), said="no such series any more")
        return 0
    running = requests.become(todo, state="running", started=time.time())
    state, said = "failed", "it ended in an error; the log knows more"
    try:
        outcome = Training(options, source, time.time()).run(() if everything else names)
        state, said = "failed" if outcome.queries_failed else "done", str(outcome)
    finally:
        requests.become(running, state=state, ended=time.time(), said=said)
        requests.tidy()
    return 0 if state == "done" or outcome.answered else 1
