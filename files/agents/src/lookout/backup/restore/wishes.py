"""What `lookout-restore` is asked for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

_EPILOG = """\
DATE is `latest`, a day as in 2026-11-20 (the last backup of that day, in UTC), or a time as in
2026-11-20T23:00:07Z. Without one it says which dates there are. Without PART it takes all parts
that this host has.

ends with 0: done; 1: refused or failed, and nothing on this host was touched; 2: wrong arguments or
configuration; 3: a part failed and is as it was before; 4: a part is neither, the message says what
to do
"""


@dataclass(frozen=True)
class Wishes:
    """The arguments."""

    date: str
    parts: tuple[str, ...]
    # Whose backup; empty: this host's
    host: str
    database: str
    file: Path | None
    to: Path | None
    # A snapshot by its id, good or not, for `to`
    snapshot: str
    dry_run: bool
    yes: bool
    judge: bool
    resume: bool
    undo: bool
    forget_aside: bool


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments, for argparse."""
    parser.prog = "lookout-restore"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("date", nargs="?", default="", metavar="DATE")
    parser.add_argument("parts", nargs="*", default=[], metavar="PART")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and do no more")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--host", default="", help="take the backup of another host")
    parser.add_argument("--database", default="", help="put this database of the part alone")
    parser.add_argument(
        "--file", type=_absolute, metavar="PATH", help="put this file or folder of the part alone"
    )
    parser.add_argument(
        "--to", type=_absolute, metavar="FOLDER", help="write the copy there, touch nothing else"
    )
    parser.add_argument(
        "--snapshot", default="", metavar="ID", help="with --to: this snapshot, good or not"
    )
    parser.add_argument(
        "--without-judging-the-copy",
        dest="judge",
        action="store_false",
        help="for an emergency where a copy cannot be judged here: it may be damaged",
    )
    parser.add_argument("--resume", action="store_true", help="go on with one that was interrupted")
    parser.add_argument(
        *("--undo", "--resume-undo"),
        dest="undo",
        action="store_true",
        help="bring back what was there before the last restore, or the interrupted one",
    )
    parser.add_argument(
        "--forget-aside", action="store_true", help="delete what restores kept of the state before"
    )


def read(arguments: argparse.Namespace) -> tuple[Wishes, str]:
    """The wishes, and why they do not go together; empty where they do."""
    wishes = Wishes(
        date=arguments.date,
        parts=tuple(arguments.parts),
        host=arguments.host,
        database=arguments.database,
        file=arguments.file,
        to=arguments.to,
        snapshot=arguments.snapshot,
        dry_run=arguments.dry_run,
        yes=arguments.yes,
        judge=arguments.judge,
        resume=arguments.resume,
        undo=arguments.undo,
        forget_aside=arguments.forget_aside,
    )
    return wishes, _problem(wishes)


def _problem(wishes: Wishes) -> str:
    alone = sum((wishes.resume, wishes.undo, wishes.forget_aside))
    narrow = bool(wishes.database or wishes.file)
    dated = bool(wishes.date or wishes.snapshot)
    wrong = {
        "--resume, --undo and --forget-aside each stand alone, without a date": (
            alone > 1 or (alone and dated)
        ),
        "--database and --file: one of them": wishes.database and wishes.file,
        "--to writes out whole parts; take what you need from there": narrow and wishes.to,
        "--database and --file: name the one part that has it": narrow and len(wishes.parts) != 1,
        "--snapshot goes with --to: what is put in place is chosen by its date": (
            wishes.snapshot and not wishes.to
        ),
        "which date? `latest`, a day, or a time": (
            not dated and not alone and (wishes.to or wishes.yes or wishes.dry_run)
        ),
    }
    return next((what for what, holds in wrong.items() if holds), "")


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise argparse.ArgumentTypeError(f"{text} has to be an absolute path, without ..")
    return path
