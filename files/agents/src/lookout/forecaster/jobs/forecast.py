"""Applies every model to the newest samples, and writes what comes of it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from lookout.forecaster import applying, exposition
from lookout.forecaster.answers import Samples
from lookout.forecaster.book import Book, Entry, write
from lookout.forecaster.collect import collect
from lookout.forecaster.files import files
from lookout.forecaster.identity import Identity
from lookout.forecaster.jobs.shelf import Shelf
from lookout.forecaster.jobs.train import former
from lookout.forecaster.options import ForecasterOptions, SeriesOptions
from lookout.forecaster.prometheus import Prometheus, SourceError
from lookout.forecaster.requests import Requests, TooManyError
from lookout.forecaster.store import ModelError
from lookout.kit.files import write_atomically

LOG = logging.getLogger("lookout.forecaster")
Record = dict[str, Any]

MOST_ANOMALIES = 1000
# By itself a training is asked for once in so long.
ASKS_SECONDS = 3600
ITSELF = "forecaster"


class Run:
    """One run over the queries."""

    def __init__(self, options: ForecasterOptions, source: Prometheus, now: float) -> None:
        self._options, self._source, self._now = options, source, now
        self._files = files(options)
        self._shelf = Shelf(options.models_directory)
        self._trainings, _ = former(self._files)
        self._entries: list[Entry] = []
        self._summaries: list[Record] = []
        self._anomalies: list[Record] = []
        self._queries: dict[str, Record] = {}

    def run(self) -> bool:
        """Whether any query had an answer. Raises OSError where the result cannot be written."""
        began = time.monotonic()
        left = self._options.most_series
        for name, wanted in self._options.series.items():
            left -= self._query(name, wanted, max(0, left))
        self._write(time.monotonic() - began)
        self._ask_for_training()
        return self._answered()

    def _answered(self) -> bool:
        return not self._queries or not all(one["failed"] for one in self._queries.values())

    def _query(self, name: str, wanted: SeriesOptions, left: int) -> int:
        end = int(self._now // wanted.step_seconds) * wanted.step_seconds
        state = {"failed": False, "reason": "", "over_limit": 0, "warnings": []}
        self._queries[name] = state
        try:
            found = collect(
                self._source, name, wanted, end=end,
                seconds=applying.SEASONS * wanted.season_seconds, most=left,
            )  # fmt: skip
            limits = applying.Bounds(self._source, wanted, end, self._options.most_series)
        except SourceError as error:
            LOG.error("%s has no forecast now: %s", name, error)
            state.update(failed=True, reason=str(error))
            self._unknown(name, wanted, str(error))
            return 0
        state.update(over_limit=found.over_limit, warnings=[*found.warnings])
        for identity, samples in found.series.items():
            self._series(identity, samples, wanted, limits, end)
        for identity, reason in found.refused.items():
            self._add(applying.head(identity, wanted, "refused", reason))
        return len(found.series)

    def _series(
        self,
        identity: Identity,
        samples: Samples,
        wanted: SeriesOptions,
        limits: applying.Bounds,
        end: int,
    ) -> None:
        # Whatever it is, the others go on.
        try:
            model = self._shelf.load(identity.id)
            if model is None:
                self._add(applying.head(identity, wanted, *self._untrained(identity)))
                return
            settings = limits.settings(identity)
            now = replace(model.settings, lower=settings.lower, upper=settings.upper)
            model = replace(model, settings=now)
            if settings != now:
                reason = "its step or season is another one since: it is trained anew"
                self._add(applying.head(identity, wanted, "untrained", reason))
                return
            summary, path, anomalies = applying.apply(model, identity, samples, wanted, end)
        except (ModelError, ValueError) as error:
            self._add(applying.head(identity, wanted, "untrained", str(error)))
        except Exception as error:
            LOG.exception("%s %s has no forecast", identity.series, identity.target)
            reason = f"{type(error).__name__}: {error}"
            self._add(applying.head(identity, wanted, "unknown", reason))
        else:
            self._add(summary, path)
            self._anomalies += anomalies

    def _untrained(self, identity: Identity) -> tuple[str, str]:
        """State and reason of a series without a model."""
        record = self._trainings.get(identity.id)
        if record is None:
            return "untrained", "it is new: it is trained within some minutes"
        return "refused" if record["state"] == "refused" else "untrained", record["reason"]

    def _unknown(self, name: str, wanted: SeriesOptions, reason: str) -> None:
        """Without an answer: what is known to be there has no forecast, and says why."""
        for record in self._trainings.values():
            if record["series"] == name:
                identity = Identity(
                    name, record["labels"], record["target"], record["host"], record["id"]
                )
                self._add(applying.head(identity, wanted, "unknown", reason))

    def _add(self, summary: Record, path: Record | None = None) -> None:
        self._summaries.append(summary)
        self._entries.append(Entry(summary["id"], summary["series"], [summary, path]))

    def _write(self, duration: float) -> None:
        pages = Book(self._files.forecasts).pages()
        # After a boot nothing is known of runs before: the time without one begins now.
        worked = pages.head["worked"] if pages and not self._answered() else self._now
        head = {
            "made": self._now,
            "worked": worked,
            "duration_seconds": round(duration, 3),
            "queries": self._queries,
            "anomalies": sorted(self._anomalies, key=lambda one: one["started"], reverse=True)[
                :MOST_ANOMALIES
            ],
        }
        told = [one for one in self._summaries if one["state"] == "forecast"]
        # Before the book: Prometheus is told of forecasts for as long as that one is fresh, and
        # a disk that is full in between leaves none that look newer than they are.
        write_atomically(self._files.forecasts_told, exposition.of_forecasts(told), 0o640)
        write(self._files.forecasts, head, self._entries)
        run_told = exposition.of_run(head, self._queries, len(told))
        write_atomically(self._files.run_told, run_told, 0o640)
        LOG.info("%d of %d series are forecast", len(told), len(self._summaries))

    def _ask_for_training(self) -> None:
        """What no training has seen need not wait for the night."""
        # Nor what the last one did not see, and has its model still: how good that is, is told no
        # more, and no bound without it.
        names = {
            one["series"]
            for one in self._summaries
            if (known := self._trainings.get(one["id"])) is None
            or (one["state"] == "untrained" and known["state"] != "failed")
        }
        requests = Requests(self._files.requests)
        lately = any(
            request.client == ITSELF and abs(self._now - request.asked) < ASKS_SECONDS
            for request in requests.all()
        )
        if not names or lately:
            return
        try:
            requests.submit(ITSELF, tuple(sorted(names)), self._now)
        except (OSError, TooManyError) as error:
            LOG.warning("a training cannot be asked for: %s", error)
