"""`python -m lookout.backup.run --config FILE`: one backup of this host; a systemd timer does it.

It ends with 0 when every part was saved, with 3 when some were not, with 4 when nothing could be
saved at all, and with 5 while another backup runs. 1 is a program that broke down or was told to
end, 2 a configuration that is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from lookout.backup import sources, table
from lookout.backup import state as states
from lookout.backup.night import NO_PARTS, Night, Plan, Result, plan
from lookout.backup.options import RunOptions
from lookout.backup.reach import Client, StoreError
from lookout.backup.restic import ResticError
from lookout.backup.restore.journal import half_restored
from lookout.backup.save import MEBIBYTE, Saver
from lookout.backup.state import PartState, State
from lookout.kit.config import ConfigError
from lookout.kit.metrics import write_textfile
from lookout.kit.program import Kit, Program, ProgramError

log = logging.getLogger("lookout.backup")

# A run that was killed holds the lock until its last process is gone, a moment later.
_PATIENCE_SECONDS = 5.0

ALL_SAVED, SOME_FAILED, NOTHING_SAVED, ANOTHER_RUNS = 0, 3, 4, 5


class LockedError(Exception):
    """Another backup of this host runs."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part", action="append", default=[], metavar="NAME", help="save this part alone, or these"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--dry-run", action="store_true", help="say what would be saved, and whether it could be"
    )
    only.add_argument("--list", action="store_true", help="the backups that there are")


PROGRAM = Program(
    "backup",
    RunOptions,
    "Save the parts that are registered on this host. Ends with 0 when all were saved, 3 when some "
    "were not, 4 when nothing could be, 5 while another backup runs.",
    arguments=_arguments,
)


@contextlib.contextmanager
def locked(path: Path, patience_seconds: float = _PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock of the host. It goes with the process, so that none is ever left behind."""
    until = time.monotonic() + patience_seconds
    with path.open("a", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise LockedError("another backup of this host runs") from error
                time.sleep(0.1)
        yield


def after(state: State, result: Result, work: Plan, now: float, seconds: float) -> State:
    """What is known of the host after a run that began at `now`."""
    for name, outcome in result.outcomes.items():
        former = state.parts.get(name, PartState())
        known = replace(former, duration_seconds=outcome.seconds, exit_code=outcome.exit_code)
        if outcome.exit_code == 0:
            known = replace(
                known,
                last_success=now,
                bytes=outcome.bytes,
                added_bytes=outcome.added_bytes,
            )
        state = state.with_part(name, known)
    if work.partial:
        # It says nothing of the host as a whole.
        return state
    if result.outcomes or not result.problem:
        state = state.only(result.outcomes)
    state = replace(state, duration_seconds=seconds)
    return state if result.failed or result.problem else replace(state, last_success=now)


def status_of(result: Result) -> int:
    """The exit status for what became of a run."""
    if not result.store:
        return NOTHING_SAVED
    return SOME_FAILED if result.failed or result.problem else ALL_SAVED


def message(host: str, result: Result) -> str:
    """What whoever is called reads first."""
    if not result.store:
        return f"backup of {host}: nothing was saved: {result.problem}"
    lines = [f"{name}: {result.outcomes[name].problem}" for name in result.failed]
    lines += [result.problem] if result.problem else []
    good = len(result.outcomes) - len(result.failed)
    return f"backup of {host}: {good} of {len(result.outcomes)} parts saved; " + "; ".join(lines)


def run(config: RunOptions, kit: Kit, client: Client, saver: Saver) -> int:
    """One backup with all that it leaves behind; the exit status."""
    now, started = saver.run, time.monotonic()
    former, wrong = states.load(config.state_file)
    if wrong:
        log.warning("%s: what was before is unknown", wrong)
    work = plan(config.parts_dir, kit.arguments.part)
    try:
        work = work.without(half_restored(config.stage_dir.parent / "aside"))
    except ConfigError as error:
        # Any of them may be half of each: none must pass for a good one.
        why = f"which parts a restore left halfway cannot be told: {error}"
        work = replace(work, parts=(), broken={part.name: why for part in work.parts} | work.broken)
    state = former.begin(now)
    if work.partial:
        state = replace(state, last_attempt=min(former.last_attempt, now))
    _keep(config, state)
    log.info("the backup begins: %s", ", ".join(part.name for part in work.parts) or "no part")
    result = Night(config, client, saver, state).save(work)
    seconds = time.monotonic() - started
    _keep(config, replace(after(state, result, work, now, seconds), running=False))
    status = status_of(result)
    if status == ALL_SAVED and result.outcomes:
        log.info("all %d parts are saved, in %.0f s", len(result.outcomes), seconds)
    elif status != ALL_SAVED:
        text = message(config.instance, result)
        log.error("%s", text)
        kit.reports.message(text, fingerprint=("backup", config.instance))
    return status


def _keep(config: RunOptions, state: State) -> None:
    """State and metrics; that they cannot be written is no reason not to save."""
    try:
        states.save(state, config.state_file)
        write_textfile(states.metrics(state, config.timeout_seconds), config.metrics_file)
    except OSError as error:
        log.error("state and metrics could not be written: %s", error)


def _told_to_end(number: int, _frame: object) -> NoReturn:
    raise ProgramError(f"told to end by {signal.Signals(number).name}: the backup is not complete")


def serve(config: RunOptions, kit: Kit) -> int:
    """What the arguments ask for."""
    os.umask(0o077)
    config.state_file.parent.mkdir(exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _told_to_end)
    client = Client(config, config.retry_seconds)
    saver = Saver(
        host=config.instance,
        release=platform.freedesktop_os_release().get("VERSION_CODENAME", ""),
        run=time.time(),
        stage_dir=config.stage_dir,
        reserve_bytes=config.reserve_megabytes * MEBIBYTE,
        pauses=config.retry_seconds,
        sources=sources.of,
    )
    try:
        if kit.arguments.list:
            snapshots = client.repository(config.instance).snapshots()
            print(table.snapshots(snapshots, kit.arguments.part))
            return ALL_SAVED
        if kit.arguments.dry_run:
            return _dry_run(config, kit, client, saver)
        with locked(config.lock_file):
            return run(config, kit, client, saver)
    except LockedError as error:
        log.error("%s", error)
        return ANOTHER_RUNS
    except (StoreError, ResticError, ConfigError) as error:
        log.error("%s", error)
        return NOTHING_SAVED


def _dry_run(config: RunOptions, kit: Kit, client: Client, saver: Saver) -> int:
    work = plan(config.parts_dir, kit.arguments.part)
    state, _ = states.load(config.state_file)
    if config.has_parts and not work.parts and not work.broken:
        raise StoreError(NO_PARTS.format(config.parts_dir))
    night = Night(config, client, saver, state)
    needs = night.measure(work.parts)
    print(table.plan(work, needs, state))
    status = night.ready()
    night.check_room(needs, status)
    print(table.store(config.store.address, status))
    return SOME_FAILED if work.broken or len(needs) < len(work.parts) else ALL_SAVED


if __name__ == "__main__":
    sys.exit(PROGRAM.run(serve))
