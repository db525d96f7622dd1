"""python -m lookout.forecaster: the API, a training, or a run of forecasts."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from lookout.forecaster.files import files
from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.prometheus import Prometheus
from lookout.forecaster.requests import Requests
from lookout.kit.files import alone
from lookout.kit.program import Kit, Program, ProgramError
from lookout.kit.systemd import credential

LOG = logging.getLogger("lookout.forecaster")

# For all answers of a run. Their units are ended after 7200 and 270 s, and leave nothing then.
TRAIN_SECONDS = 5400.0
FORECAST_SECONDS = 240.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for; the API without anything."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    train = verbs.add_parser("train", help="train all models")
    train.add_argument("--asked", action="store_true", help="only what the API was asked for")
    verbs.add_parser("forecast", help="apply the models to the newest samples")


def serve(options: ForecasterOptions, kit: Kit) -> int:
    """Do what was asked for."""
    verb = kit.arguments.verb
    try:
        if verb == "train":
            return asked(options) if kit.arguments.asked else trained(options)
        if verb == "forecast":
            return forecast(options)
    except OSError as error:
        raise ProgramError(f"{verb}: nothing can be written: {error}") from error
    from lookout.forecaster import server  # noqa: PLC0415 -- web libraries, for the API alone

    return server.serve(options, kit)


def trained(options: ForecasterOptions, only: tuple[str, ...] = ()) -> int:
    """Train, when nobody else does; 1 where no query had an answer."""
    from lookout.forecaster.jobs.train import Training  # noqa: PLC0415 -- numpy

    with alone(files(options).lock, wait=True):
        outcome = Training(options, source(options, TRAIN_SECONDS), time.time()).run(only)
    return 1 if outcome.queries_failed and not outcome.answered else 0


def asked(options: ForecasterOptions) -> int:
    """Do the trainings that were asked for; most times there is none, and numpy is not loaded."""
    requests = Requests(files(options).requests)
    if not requests.unfinished():
        return 0
    with alone(files(options).lock, wait=False) as free:
        if not free:
            return 0
        from lookout.forecaster.jobs.asked import train_asked  # noqa: PLC0415 -- numpy

        return train_asked(options, source(options, TRAIN_SECONDS), requests)


def forecast(options: ForecasterOptions) -> int:
    """Forecast; 1 where no query had an answer."""
    from lookout.forecaster.jobs.forecast import Run  # noqa: PLC0415 -- numpy

    return 0 if Run(options, source(options, FORECAST_SECONDS), time.time()).run() else 1


def source(options: ForecasterOptions, seconds: float) -> Prometheus:
    """Whom the jobs ask, and how long they wait for all answers."""
    name = options.source.password_credential
    password = credential(name) if name else ""
    if name and not password:
        raise ProgramError(f"the unit has no credential {name}")
    return Prometheus(options.source, password or "", seconds)


PROGRAM = Program("forecaster", ForecasterOptions, "Forecasts of series, and an API.", arguments)

if __name__ == "__main__":
    sys.exit(PROGRAM.run(serve))
