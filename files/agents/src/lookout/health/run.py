"""One run: judge, compare with the last one, tell, and keep what the next one needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from lookout.health import changes, plan, registered, report, state
from lookout.health.changes import Entry, Message
from lookout.health.config import HealthOptions
from lookout.health.results import Result, run_all
from lookout.kit.files import write_atomically
from lookout.kit.metrics import write_textfile

LOG = logging.getLogger("lookout.health")

# Apart from 1, which is a program that broke down, and 2, a configuration that is wrong.
ALL_WELL, SOMETHING_FAILS = 0, 3

# Sends a message; says whether it arrived
Send = Callable[[Message, Result], bool]


@dataclass(frozen=True)
class Kept:
    """What went wrong with keeping and telling, which must not keep the checks from running."""

    troubles: tuple[str, ...] = ()

    def and_also(self, what: str, problems: Iterable[str], known: tuple[str, ...]) -> Kept:
        """With these problems, said unless the last run had the same trouble."""
        problems = list(problems)
        if not problems:
            return self
        if what not in known:
            LOG.warning("%s; the checks go on", "; ".join(problems))
        return Kept((*self.troubles, what))


def judge(config: HealthOptions) -> list[Result]:
    """Run all checks."""
    files, verdicts = registered.read(config.registered_dir)
    checks = registered.join([config.checks, *files])
    results = run_all(plan.plan(checks, config), config.workers)
    return plan.keep((*results, *verdicts), config)


def tell(
    results: Iterable[Result], entries: Mapping[str, Entry], host: str, send: Send
) -> tuple[dict[str, Entry], list[str]]:
    """Tell what is due; what did not arrive, and all after it, is due again in the next run."""
    told, wrong = dict(entries), []
    for result in results:
        message = changes.message(result, entries[result.key], host)
        if message is None:
            continue
        if not send(message, result):
            wrong.append("a message did not arrive and is sent again by the next run")
            break
        told[result.key] = replace(entries[result.key], told=message.state)
    return told, wrong


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


def once(config: HealthOptions, send: Send) -> int:
    """Judge everything, and leave behind metrics, state, log and messages; the exit status."""
    started, now = time.monotonic(), time.time()
    former, unreadable = state.load(config.state_file, config.spare_state_file)
    for problem in unreadable:
        LOG.warning("%s: what was before is unknown", problem)
    results = judge(config)
    entries = changes.follow_all(former.entries, results, now)
    _say(results, former.entries, entries)
    entries, unsent = tell(results, entries, config.instance, send)
    kept = Kept().and_also("messages", unsent, former.troubles)

    counts = _counted(former.counts, kept.troubles)
    seconds = time.monotonic() - started
    registry = report.metrics(results, entries, counts, now, seconds)
    try:
        write_textfile(registry, config.metrics_file)
    except OSError as error:
        problem = f"{config.metrics_file}: {error.strerror or error}"
        kept = kept.and_also("metrics", [problem], former.troubles)
        counts = _counted(counts, ("metrics",))

    # The count of a state that could not be kept is kept with the spare one.
    new = state.State(entries, kept.troubles, counts, now)
    wrong = state.save(new, config.state_file, config.spare_state_file, write_atomically)
    if wrong:
        kept = kept.and_also("state", wrong, former.troubles)
        new = replace(new, troubles=kept.troubles, counts=_counted(counts, ("state",)))
        state.save(new, config.spare_state_file, config.spare_state_file, write_atomically)
    return SOMETHING_FAILS if any(result.failing for result in results) else ALL_WELL


def _counted(counts: Mapping[str, int], troubles: Iterable[str]) -> dict[str, int]:
    return {**counts, **{what: counts.get(what, 0) + 1 for what in troubles}}
