"""`lookout-token`: make, list, rotate and revoke the tokens of an API."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lookout.kit import table
from lookout.kit.config import ConfigError
from lookout.kit.files import alone, write_atomically
from lookout.kit.table import date
from lookout.tokens import slots, storage
from lookout.tokens.slots import DAY_SECONDS, HOUR_SECONDS, Slot, TokenError, TokenSet

WRONG = 2


def main(argv: Sequence[str] | None = None) -> int:
    """One command; returns the exit status."""
    asked = _parser().parse_args(argv)
    try:
        if asked.verb == "list":
            return _list(asked)
        with alone(asked.file.with_suffix(".lock"), wait=True):
            return _change(asked)
    except TokenError as error:
        print(f"lookout-token: {error}", file=sys.stderr)
    except ConfigError as error:
        print(f"lookout-token: nothing is changed:\n{error}", file=sys.stderr)
    except OSError as error:
        print(
            f"lookout-token: nothing is changed: {error.filename or asked.file}: {error.strerror}",
            file=sys.stderr,
        )
    return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lookout-token",
        description="Tokens of programs that ask the API. A token is shown once, when it is made.",
    )
    parser.add_argument("--file", type=Path, required=True, help="where the tokens are kept")
    parser.add_argument("--used", type=Path, required=True, help="which ones were used, by the API")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make the first token of a client")
    create.add_argument("client")
    create.add_argument("--scope", action="append", choices=["read", "train"], dest="scopes",
                        help="what it opens, again for another one (default: read)")  # fmt: skip
    create.add_argument("--days", type=_positive, default=365.0, help="until it expires (365)")
    rotate = verbs.add_parser("rotate", help="make another one; the former ends when it is used")
    rotate.add_argument("client")
    rotate.add_argument("--hours", type=_positive, default=24.0,
                        help="after which the former one ends in any case (24)")  # fmt: skip
    for verb in (create, rotate):
        verb.add_argument("--output", type=Path, help="a file for the token, instead of showing it")
    revoke = verbs.add_parser("revoke", help="end tokens at once")
    revoke.add_argument("which", metavar="ID|CLIENT")
    listed = verbs.add_parser("list", help="show all but the tokens themselves")
    listed.add_argument("--json", action="store_true")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 36500:  # noqa: PLR2004
        raise argparse.ArgumentTypeError("a number above 0, of a hundred years at most")
    return number


def _change(asked: argparse.Namespace) -> int:
    now, used = time.time(), storage.read_used(asked.used)
    held = slots.tidied(storage.read(asked.file), now, used)
    if asked.verb == "revoke":
        held, gone = slots.revoke(held, asked.which)
        storage.write(asked.file, held)
        print("\n".join(f"revoked {slot.id} of {slot.client}" for slot in gone))
        return 0
    if asked.verb == "create":
        scopes = tuple(dict.fromkeys(asked.scopes or ["read"]))
        expires = now + asked.days * DAY_SECONDS
        held, slot, token = slots.create(held, asked.client, scopes, expires, now)
    else:
        grace = asked.hours * HOUR_SECONDS
        held, slot, token = slots.rotate(held, asked.client, grace, now, used)
    _hand_over(asked, held, slot, token)
    return 0


def _hand_over(asked: argparse.Namespace, held: TokenSet, slot: Slot, token: str) -> None:
    # The token first: one that nobody got to know would end the former one by its time.
    if asked.output:
        write_atomically(asked.output, f"{token}\n", 0o600)
    else:
        _show(token)
    try:
        storage.write(asked.file, held)
    except OSError:
        # Whoever found it there would take it for one that holds.
        if asked.output:
            asked.output.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # It is made, whoever reads that or not.
        print(f"token {slot.id} of {slot.client}, {', '.join(slot.scopes)}, until"
              f" {date(slot.expires)}", file=sys.stderr)  # fmt: skip


def _show(token: str) -> None:
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        print(token, flush=True)
    except OSError as error:
        # Python would write it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise TokenError(
            f"nothing is changed, as the token cannot be shown: {error.strerror}"
        ) from error


def _list(asked: argparse.Namespace) -> int:
    now, used = time.time(), storage.read_used(asked.used)
    held = storage.read(asked.file)
    rows = [
        {
            "id": slot.id,
            "client": slot.client,
            "scopes": ",".join(slot.scopes),
            "state": slot.state(now, used),
            "ends": date(min(slot.expires, slot.ends or slot.expires)),
            "first_used": date(used[slot.id]) if slot.id in used else "never",
        }
        for slot in sorted(held.tokens, key=lambda slot: (slot.client, slot.created))
    ]
    if asked.json:
        print(json.dumps(rows, indent=1))
    else:
        head = ("ID", "CLIENT", "SCOPES", "STATE", "ENDS (UTC)", "FIRST USED (UTC)")
        print(table.rows(head, *(tuple(row.values()) for row in rows)))
    return 0


if __name__ == "__main__":
    # Nobody but root and the API's group reads what is made here.
    os.umask(0o027)
    sys.exit(main())
