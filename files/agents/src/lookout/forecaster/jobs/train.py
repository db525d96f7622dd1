"""Trains a model for each series. One that fails, or is worse, replaces nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lookout.forecaster import applying, exposition
from lookout.forecaster.answers import Samples
from lookout.forecaster.book import Book, Entry, write
from lookout.forecaster.collect import collect
from lookout.forecaster.files import Files, files
from lookout.forecaster.identity import Identity
from lookout.forecaster.jobs.shelf import FORGET_SECONDS, Shelf
from lookout.forecaster.model import Model
from lookout.forecaster.options import DAY_SECONDS, ForecasterOptions, SeriesOptions
from lookout.forecaster.prometheus import Prometheus, SourceError
from lookout.forecaster.replacing import better
from lookout.forecaster.series import MOST_SEASONS, Refused, Series, prepare
from lookout.forecaster.store import ModelError
from lookout.forecaster.training import train
from lookout.kit.files import write_atomically

LOG = logging.getLogger("lookout.forecaster")
Record = dict[str, Any]


@dataclass
class Outcome:
    """What came of a training: numbers of series, and of queries."""

    trained: int = 0
    kept: int = 0
    refused: int = 0
    failed: int = 0
    # Queries that had an answer, and those that had none
    answered: list[str] = field(default_factory=list)
    queries_failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = (
            f"{self.trained} models trained, {self.kept} kept as they are better than the new one,"
            f" {self.refused} series refused, {self.failed} failed"
        )
        if self.queries_failed:
            said += f"; without an answer: {', '.join(self.queries_failed)}"
        return said


class Training:
    """One run over the queries."""

    def __init__(self, options: ForecasterOptions, source: Prometheus, now: float) -> None:
        self._options, self._source, self._now = options, source, now
        self._files: Files = files(options)
        self._shelf = Shelf(options.models_directory)
        self._former, self._head = former(self._files)
        self.outcome = Outcome()

    def run(self, only: Iterable[str] = ()) -> Outcome:
        """Train all queries, or these. Raises OSError where the result cannot be written."""
        started, chosen = time.time(), set(only) or set(self._options.series)
        records: list[Record] = []
        left = self._options.most_series
        for name, wanted in self._options.series.items():
            if name in chosen:
                made = self._query(name, wanted, left)
            else:
                made = [record for record in self._former.values() if record["series"] == name]
            left = max(0, left - len(made))
            records += made
        self._write(records, started)
        # One that began after a month without any may have a clock that jumped, or a Prometheus
        # that has nothing yet: what it does not see may be there.
        if not only and self._now - self._head.get("ended", 0.0) < FORGET_SECONDS:
            self._shelf.prune({record["id"] for record in records}, self._now)
        LOG.info("%s", self.outcome)
        return self.outcome

    def _query(self, name: str, wanted: SeriesOptions, left: int) -> list[Record]:
        end = int(self._now // wanted.step_seconds) * wanted.step_seconds
        days = min(self._options.history_days * DAY_SECONDS, MOST_SEASONS * wanted.season_seconds)
        try:
            found = collect(self._source, name, wanted, end=end, seconds=days, most=left)
            limits = applying.Bounds(self._source, wanted, end, self._options.most_series)
        except SourceError as error:
            LOG.error("%s is not trained: %s", name, error)
            self.outcome.queries_failed.append(name)
            return [
                self._failed(record, f"its query had no answer: {error}", "unanswered")
                for record in self._former.values()
                if record["series"] == name
            ]
        self.outcome.answered.append(name)
        records = [
            self._series(identity, samples, wanted, limits, end)
            for identity, samples in found.series.items()
        ]
        return records + [
            self._refused(self._record(identity, wanted), reason)
            for identity, reason in found.refused.items()
        ]

    def _series(
        self,
        identity: Identity,
        samples: Samples,
        wanted: SeriesOptions,
        limits: applying.Bounds,
        end: int,
    ) -> Record:
        began, record = time.monotonic(), self._record(identity, wanted)
        # Whatever it is, the others go on.
        try:
            settings = limits.settings(identity)
            series = prepare(samples.times, samples.values, settings, end + wanted.step_seconds)
            if isinstance(series, Refused):
                return self._refused(record, series.reason)
            return self._trained(record, identity, series)
        except (ValueError, OSError) as error:
            return self._failed(record, str(error))
        except Exception as error:
            LOG.exception("%s %s: its training failed", identity.series, identity.target)
            return self._failed(record, f"{type(error).__name__}: {error}")
        finally:
            record["duration_seconds"] = round(time.monotonic() - began, 4)

    def _trained(self, record: Record, identity: Identity, series: Series) -> Record:
        model = train(series)
        try:
            old = self._shelf.load(identity.id)
        except ModelError as error:
            LOG.warning("%s %s: %s", identity.series, identity.target, error)
            old = None
        verdict = better(old, model, series)
        if old and not verdict.replaces:
            LOG.warning(
                "%s %s keeps its model: %s", record["series"], record["target"], verdict.reason
            )
            self.outcome.kept += 1
            record.update(state="kept", reason=verdict.reason, model=described(old))
            return record
        self._shelf.save(identity.id, model)
        self.outcome.trained += 1
        record.update(state="trained", reason="", trained=self._now, model=described(model))
        return record

    def _record(self, identity: Identity, wanted: SeriesOptions) -> Record:
        """What is known of a series before it is trained; the model that it had stays."""
        before = self._former.get(identity.id, {})
        return {
            **identity.record,
            "title": wanted.title,
            "unit": wanted.unit,
            "state": "failed",
            "reason": "",
            "trained": before.get("trained", 0.0),
            "duration_seconds": 0.0,
            "failures": before.get("failures", 0),
            "model": before.get("model"),
        }

    def _refused(self, record: Record, reason: str) -> Record:
        LOG.info("%s %s is not forecast: %s", record["series"], record["target"], reason)
        self.outcome.refused += 1
        record.update(state="refused", reason=reason)
        return record

    def _failed(self, record: Record, reason: str, state: str = "failed") -> Record:
        LOG.error("%s %s: no new model: %s", record["series"], record["target"], reason)
        self.outcome.failed += 1
        record.update(state=state, reason=reason)
        record["failures"] += 1
        return record

    def _write(self, records: list[Record], started: float) -> None:
        ended = time.time()
        head = {"started": started, "ended": ended, "queries": self._trained_at(started, ended)}
        entries = (Entry(record["id"], record["series"], [record]) for record in records)
        write(self._files.trainings, head, entries)
        write_atomically(self._files.trainings_told, exposition.of_training(head, records), 0o640)

    def _trained_at(self, started: float, ended: float) -> dict[str, float]:
        """When a training of each query last came to something, or the first one began.

        A training of others does not count, nor one that saw no series of any query.
        """
        outcome, before = self.outcome, self._head.get("queries", {})
        well = outcome.answered if outcome.trained + outcome.kept + outcome.refused else []
        asked = [*outcome.answered, *outcome.queries_failed]
        now = dict.fromkeys(asked, started) | before | dict.fromkeys(well, ended)
        return {name: now[name] for name in self._options.series if name in now}


def former(paths: Files) -> tuple[dict[str, Record], Record]:
    """What the last training left: a record each, and what holds for all."""
    pages = Book(paths.trainings).pages()
    if pages is None:
        return {}, {}
    read = ((name, pages.read(name)) for name in pages.ids())
    return {name: record for name, record in read if record}, pages.head


def described(model: Model) -> Record:
    """What the API and Prometheus are told of a model."""
    quality, step = model.quality, model.settings.step_seconds
    return {
        "method": model.method,
        "skilled": model.skill,
        "reason": model.reason,
        "notes": [*model.notes],
        "trained_to": float(model.next_slot * step),
        "seasons": model.seasons,
        "season_seconds": model.settings.season_seconds,
        "step_seconds": step,
        "error": applying.rounded(quality.error),
        "mase": applying.rounded(quality.mase),
        "error_ratio": applying.rounded(quality.ratio),
        "coverage": applying.rounded(quality.coverage),
        "measured": int(quality.measured),
    }
