"""One call of `lookout-restore`, from the wishes to the end."""

from __future__ import annotations

import logging
import shutil
import sys
import time

from lookout.backup.manifest import Manifest
from lookout.backup.restic import ResticError
from lookout.backup.restore import course, fetch, plan, reading
from lookout.backup.restore.choice import ChoiceError
from lookout.backup.restore.context import Context, Stop
from lookout.backup.restore.fetch import CopyError
from lookout.backup.restore.journal import Entry, Journal, Kept
from lookout.backup.restore.plan import Item
from lookout.backup.restore.put import undisturbed
from lookout.backup.run import LockedError, locked
from lookout.kit.config import ConfigError

log = logging.getLogger("lookout.backup.restore")

# Who calls by hand rather hears at once that a backup runs.
_PATIENCE_SECONDS = 1.0


def run(context: Context) -> None:
    """Do what is wished. Raises Stop."""
    wishes = context.wishes
    try:
        if wishes.to:
            reading.write_out(context, wishes.to)
        elif wishes.dry_run and wishes.date:
            print(reading.plan_text(context, reading.planned(context)))
        elif wishes.date or wishes.resume or wishes.undo or wishes.forget_aside:
            context.work.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(context.options.lock_file, _PATIENCE_SECONDS):
                _change(context)
        else:
            reading.show_dates(context)
    except LockedError as error:
        raise Stop(
            "a backup or another restore is under way on this host (`systemctl status "
            "lookout-backup`, `pgrep -af lookout.backup`): try again when it has ended"
        ) from error
    except (ChoiceError, ResticError, ConfigError) as error:
        raise Stop(str(error)) from error


def _change(context: Context) -> None:
    if context.wishes.forget_aside:
        course.forget_aside(context)
    elif context.wishes.undo:
        course.undo(context)
    elif context.wishes.resume:
        course.resume(context)
    else:
        restore(context)


def restore(context: Context) -> None:
    """Fetch and judge all that is wanted, then put it."""
    course.ensure_none_is_under_way(context)
    try:
        kept, manifests = _prepared(context)
    except KeyboardInterrupt as error:
        with undisturbed():
            fetch.forget(context.copies)
            course.ensure_none_is_under_way(context)
        raise Stop("interrupted, nothing was touched") from error
    course.put(context, kept, manifests)


def _prepared(context: Context) -> tuple[Kept, dict[str, Manifest]]:
    """All that comes before anything live is touched."""
    items = reading.planned(context)
    course.ensure_nothing_is_kept(context, (item.part.name for item in items))
    print(reading.plan_text(context, items))
    problems = list(plan.room(items, context.work, reading.servers(context, items)))
    if problems:
        raise Stop("no room: " + "; ".join(problems))
    _ensure_wanted(context)
    # Of one that was ended while it fetched
    fetch.forget(context.copies)
    try:
        manifests = {item.part.name: _fetched(context, item) for item in items}
    except (CopyError, ResticError, OSError) as error:
        fetch.forget(context.copies)
        what = f"restore of {context.wishes.date}: {error}. Nothing was touched"
        raise Stop(what, failed=True) from error
    entries = tuple(
        Entry(item.part, item.snapshot.id, item.snapshot.time, database=item.database)
        for item in items
    )
    journal = Journal(context.archive.host, time.time(), entries)
    return Kept.begin(context.aside, journal), manifests


def _fetched(context: Context, item: Item) -> Manifest:
    part, folder = item.part, context.copies / item.part.name
    started = time.monotonic()
    # As long as a backup of all may take: a limit is no help to who has nothing else left.
    limit = max(part.timeout_seconds, context.options.timeout_seconds)
    fetch.fetch(context.archive, item.snapshot.id, folder, limit)
    log.info("%s: fetched in %.0f s", part.name, time.monotonic() - started)
    if not context.wishes.judge:
        log.warning("%s: is NOT judged, as you wished: it may be damaged", part.name)
        return fetch.told(folder)
    started, scratch = time.monotonic(), context.copies / f".{part.name}.judge"
    whole = Entry(item.saved, item.snapshot.id, item.snapshot.time)
    try:
        fetch.judge(folder, context.sources(whole), scratch)
        for command in part.checks:
            if shutil.which(command[0]) is None:
                what = f"its check `{command[0]}` is not on this host"
                raise CopyError(what, cannot_judge=True)
            problem = fetch.check(command, folder / "files", part.timeout_seconds)
            if problem:
                raise CopyError(problem)
    except CopyError as error:
        verdict, way = "is bad", ""
        if error.cannot_judge:
            verdict = "cannot be judged here"
            way = "; --without-judging-the-copy puts it in place all the same"
        raise CopyError(f"the copy of {part.name} {verdict}: {error}{way}") from error
    finally:
        fetch.forget(scratch)
    log.info("%s: judged in %.0f s, it is good", part.name, time.monotonic() - started)
    return fetch.told(folder)


def _ensure_wanted(context: Context) -> None:
    if context.wishes.yes:
        return
    if not sys.stdin.isatty():
        raise Stop("nobody is here to be asked: add --yes if this is what you want")
    try:
        answer = context.ask("Restore? `yes` does it: ")
    except EOFError:
        answer = ""
    if answer.strip() != "yes":
        raise Stop("not wanted, nothing was touched")
