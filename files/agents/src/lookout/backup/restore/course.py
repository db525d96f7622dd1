"""The course of a restore by its journal: to its end, on after an interruption, or back."""

from __future__ import annotations

import logging
import shutil
import syslog
from collections.abc import Iterable, Mapping

from lookout.backup.manifest import Manifest
from lookout.backup.restore import fetch
from lookout.backup.restore.choice import shown
from lookout.backup.restore.context import AS_BEFORE, NEITHER, Context, Stop
from lookout.backup.restore.fetch import CopyError
from lookout.backup.restore.journal import Kept, State, all_kept
from lookout.backup.restore.put import PutError, Putting, UndoError, undisturbed
from lookout.backup.sources import SourceError

log = logging.getLogger("lookout.backup.restore")

_WORDS: Mapping[State, str] = {
    "waiting": "was not begun",
    "stopping": "has its data as before, its units may be stopped",
    "putting": "has its data half replaced, its units are stopped",
    "starting": "has its data replaced, nobody looked whether it is well",
    "undoing": "is half brought back, its units are stopped",
    "restored": "is restored",
    "as_before": "is as it was before",
}


def put(context: Context, kept: Kept, manifests: Mapping[str, Manifest]) -> None:
    """Put what is not put yet, and end. Raises Stop."""
    putting = _putting(context, kept)
    try:
        for entry in kept.journal.entries:
            if entry.state not in ("restored", "as_before"):
                putting.put(entry.part.name, manifests[entry.part.name])
        with undisturbed():
            _finish(context, kept)
    except PutError as error:
        with undisturbed():
            _finish(context, kept)
        # Whoever ended it knows of it.
        failed = not isinstance(error.__cause__, KeyboardInterrupt)
        raise Stop(f"{error}. Now: {states(kept)}{_back(kept)}", AS_BEFORE, failed) from error
    except UndoError as error:
        raise Stop(
            f"{error}. Now: {states(kept)}. What was there before is in {kept.folder}; "
            "`lookout-restore --undo` tries again",
            NEITHER,
            failed=True,
        ) from error
    except KeyboardInterrupt as error:
        with undisturbed():
            stop = _interrupted(context, kept)
        if stop:
            raise stop from error
    syslog.syslog(syslog.LOG_NOTICE, states(kept))
    print(
        f"{states(kept)}.\nWhat was there before is kept in {kept.folder}: `lookout-restore "
        "--undo` brings it back, `lookout-restore --forget-aside` deletes it."
    )


def _interrupted(context: Context, kept: Kept) -> Stop | None:
    """What to say after an interruption between two steps; None if all was done by then."""
    open_ones = [one for one in kept.journal.touched if one.state not in ("restored", "as_before")]
    if open_ones:
        return Stop(f"interrupted. Now: {states(kept)}. {_ways(kept)}", NEITHER)
    _finish(context, kept)
    if not kept.journal.touched:
        return Stop("interrupted, nothing was touched")
    if len(kept.journal.restored) == len(kept.journal.entries):
        return None
    return Stop(f"interrupted. Now: {states(kept)}{_back(kept)}", AS_BEFORE)


def _back(kept: Kept) -> str:
    """What can be done about parts that stay restored though others are not."""
    if not kept.journal.restored:
        return ""
    return ". `lookout-restore --undo` brings back what was there before those that are restored"


def _finish(context: Context, kept: Kept) -> None:
    fetch.forget(context.copies)
    try:
        kept.finish()
    except OSError as error:
        log.error("the end of the restore cannot be written down: %s", error)
    if not kept.journal.restored:
        # All of it is where it was.
        shutil.rmtree(kept.folder)


def _putting(context: Context, kept: Kept) -> Putting:
    return Putting(kept, context.copies, context.units, context.sources)


def resume(context: Context) -> None:
    """Go on with a restore that was interrupted."""
    kept = _under_way(context)
    if kept is None:
        raise Stop("no restore was interrupted")
    if any(entry.state == "undoing" for entry in kept.journal.entries):
        raise Stop("it was on its way back when it was interrupted: --undo is the way", NEITHER)
    try:
        manifests = {
            one.part.name: fetch.told(context.copies / one.part.name)
            for one in kept.journal.entries
            if one.state != "restored"
        }
    except CopyError as error:
        raise Stop(f"{error}: it cannot go on, --undo is the way", NEITHER) from error
    put(context, kept, manifests)


def undo(context: Context) -> None:
    """Bring back what was there before the last restore, whether that ended or not."""
    known = all_kept(context.aside)
    if not known:
        raise Stop("no restore kept anything")
    kept = _under_way(context) or known[-1]
    putting = _putting(context, kept)
    try:
        for entry in reversed(kept.journal.touched):
            if entry.state != "as_before":
                putting.undo(entry.part.name)
        with undisturbed():
            fetch.forget(context.copies)
            shutil.rmtree(kept.folder)
    except UndoError as error:
        raise Stop(f"{error}. Now: {states(kept)}", NEITHER, failed=True) from error
    except KeyboardInterrupt as error:
        what = f"interrupted. Now: {states(kept)}. `lookout-restore --undo` goes on with it"
        raise Stop(what, NEITHER) from error
    syslog.syslog(syslog.LOG_NOTICE, states(kept))
    print(f"{states(kept)}.")


def forget_aside(context: Context) -> None:
    """Delete what restores kept of the state before."""
    ensure_none_is_under_way(context)
    for kept in all_kept(context.aside):
        putting = _putting(context, kept)
        # Half of a past is of no use to anybody.
        with undisturbed():
            for entry in kept.journal.restored:
                try:
                    putting.settle(entry.part.name)
                except (SourceError, OSError) as error:
                    raise Stop(f"{entry.part.name}: {error}", failed=True) from error
            shutil.rmtree(kept.folder)
        print(f"Forgot what was there before the restore of {shown(kept.journal.started)}.")
    # What is left of one that was forgotten halfway
    fetch.forget(context.aside)


def ensure_none_is_under_way(context: Context) -> None:
    """Raise Stop with the ways out where a restore was interrupted."""
    kept = _under_way(context)
    if kept is None:
        return
    if all(entry.state in ("waiting", "as_before") for entry in kept.journal.entries):
        # It was ended before it touched anything, or when all was back.
        shutil.rmtree(kept.folder)
        return
    raise Stop(
        f"the restore of {shown(kept.journal.started)} was interrupted: {states(kept)}. "
        + _ways(kept)
    )


def ensure_nothing_is_kept(context: Context, names: Iterable[str]) -> None:
    """A second restore over a first one would leave two pasts, and no way to tell them apart."""
    wanted = set(names)
    for kept in all_kept(context.aside):
        again = [entry.part.name for entry in kept.journal.restored if entry.part.name in wanted]
        if again:
            raise Stop(
                f"what was there before the restore of {shown(kept.journal.started)} is still kept "
                f"({', '.join(again)}): `lookout-restore --undo` brings it back, `lookout-restore "
                "--forget-aside` deletes it; then try again"
            )


def _under_way(context: Context) -> Kept | None:
    unfinished = [kept for kept in all_kept(context.aside) if not kept.journal.finished]
    return unfinished[-1] if unfinished else None


def _ways(kept: Kept) -> str:
    back = "`lookout-restore --undo` brings back what was there before"
    if any(entry.state == "undoing" for entry in kept.journal.entries):
        return back
    return f"`lookout-restore --resume` goes on with it, {back}"


def states(kept: Kept) -> str:
    """What each part of a restore is now."""
    said = [
        f"{entry.part.name} {_WORDS[entry.state]}"
        + (f" (snapshot of {shown(entry.time)})" if entry.state == "restored" else "")
        for entry in kept.journal.entries
    ]
    return "; ".join(said)
