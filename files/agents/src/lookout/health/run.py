"""One run: judge, compare with the last one, tell, and keep what the next one needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from lookout.health import changes, plan, registered, report, state
from lookout.health.changes import Entry, Message
from lookout.health.config import HealthOptions
from lookout.health.results import Result, run_all
from lookout.kit.files import write_atomically
from lookout.kit.metrics import write_textfile

LOG = logging.getLogger("lookout.health")

# Apart from 1, which is a program that broke down, and 2, a configuration that is wrong.
ALL_WELL, SOMETHING_FAILS = 0, 3

# For all messages of a run, which is killed after 240 s; one that has begun may end.
MESSAGES_SECONDS = 60.0

# Sends a message; says whether it arrived
Send = Callable[[Message, Result], bool]


def judge(config: HealthOptions) -> list[Result]:
    """Run all checks."""
    files, verdicts = registered.read(config.registered_dir)
    checks = registered.join([config.checks, *files])
    results = run_all(plan.plan(checks, config), config.workers)
    return plan.keep((*results, *verdicts), config)


def _say(results: list[Result], former: Mapping[str, Entry], entries: Mapping[str, Entry]) -> None:
    moved = set(changes.changed(former, entries))
    for result in (result for result in results if result.key in moved):
        if result.failing:
            LOG.warning("%s %s: %s", result.check, result.name, result.problem)
        else:
            LOG.info("%s %s is well again: %s", result.check, result.name, result.detail)
    failing = [result.key for result in results if result.failing]
    LOG.info(
        "%d checks, %d failing%s", len(results), len(failing), ": " + ", ".join(failing)
        if failing else "",
    )  # fmt: skip


class _Record:
    """What a run keeps for the next one. Nothing that goes wrong with it ends the run."""

    def __init__(
        self, config: HealthOptions, former: state.State, entries: dict[str, Entry]
    ) -> None:
        self._config, self._former, self.entries = config, former, entries
        self.troubles: tuple[str, ...] = ()

    def trouble(self, what: str, problems: Iterable[str]) -> None:
        """Count it once a run; say it unless the last run had the same trouble."""
        if what in self.troubles:
            return
        if what not in self._former.troubles:
            LOG.warning("%s; the checks go on", "; ".join(problems))
        self.troubles = (*self.troubles, what)

    def _counts(self) -> dict[str, int]:
        counts = self._former.counts
        return {**counts, **{what: counts.get(what, 0) + 1 for what in self.troubles}}

    def write_metrics(self, results: list[Result], now: float, seconds: float) -> None:
        """Write the metrics."""
        registry = report.metrics(results, self.entries, self._counts(), now, seconds)
        try:
            write_textfile(registry, self._config.metrics_file)
        except OSError as error:
            self.trouble("metrics", [f"{self._config.metrics_file}: {error.strerror or error}"])

    def save(self) -> None:
        """Write the state; the count of one that could not be kept is kept with the spare one."""
        # The time of writing, as the newer one of the two files counts.
        new = state.State(self.entries, self.troubles, self._counts(), time.time())
        config, before = self._config, self.troubles
        wrong = state.save(new, config.state_file, config.spare_state_file, write_atomically)
        if wrong:
            self.trouble("state", wrong)
        if self.troubles != before:
            self.save()


def _tell(results: Iterable[Result], record: _Record, host: str, send: Send) -> None:
    """Tell what is due, and remember each message that arrived at once.

    What does not arrive, and all after it, is due again in the next run; so is what is left when
    the time is up.
    """
    until = time.monotonic() + MESSAGES_SECONDS
    for result in results:
        entry = record.entries[result.key]
        message = changes.message(result, entry, host)
        if message is None:
            continue
        if time.monotonic() >= until:
            record.trouble("messages", ["messages take long: the next run sends the rest"])
            return
        if not send(message, result):
            wrong = "a message did not arrive and is sent again by the next run"
            record.trouble("messages", [wrong])
            return
        record.entries[result.key] = replace(entry, told=message.state)
        record.save()


def once(config: HealthOptions, send: Send) -> int:
    """Judge everything, and leave behind metrics, state, log and messages; the exit status."""
    started, now = time.monotonic(), time.time()
    former, unreadable = state.load(config.state_file, config.spare_state_file)
    for problem in unreadable:
        LOG.warning("%s: what was before is unknown", problem)
    results = judge(config)
    record = _Record(config, former, changes.follow_all(former.entries, results, now))
    _say(results, former.entries, record.entries)

    # Messages come last: they are slow where Sentry is, and a run that is killed meanwhile must
    # neither leave old metrics behind nor send again what arrived.
    seconds = time.monotonic() - started
    record.write_metrics(results, now, seconds)
    record.save()
    before = record.troubles
    _tell(results, record, config.instance, send)
    if record.troubles != before:
        record.write_metrics(results, now, seconds)
        record.save()
    return SOMETHING_FAILS if any(result.failing for result in results) else ALL_WELL
