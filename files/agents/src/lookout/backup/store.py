"""`python -m lookout.backup.store --config FILE`: look after all repositories, once a night.

With `--look`, once an hour: say in the metrics whether the destination is there, and how old the
backups in it are. With `--begin HOST`, which Ansible alone calls: make the repository of a host, or
say its id.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path

from lookout.backup import store_options, store_upkeep
from lookout.backup.restic import ResticError
from lookout.backup.store_options import StoreOptions
from lookout.backup.store_repository import begin
from lookout.kit.program import Kit, Program

log = logging.getLogger("lookout.backup.store")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--look", action="store_true", help="only say what is there")
    parser.add_argument(
        "--begin", metavar="HOST", help="make its repository; the password on stdin"
    )
    parser.add_argument("--expect", default="", help="the id that the site has on record")
    parser.add_argument("--anew", action="store_true", help="make another one in its place")


PROGRAM = Program(
    "backup_store",
    StoreOptions,
    "Look after the repositories: check, forget, prune, copy. Ends with 0 when all of it was well.",
    arguments=_arguments,
)


def hosts() -> list[str]:
    """The hosts whose repositories are looked after: those whose password is here."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        names = [file.name for file in Path(folder).glob("password_*")]
        return sorted(name.removeprefix("password_") for name in names)
    return sorted(file.name for file in store_options.PASSWORDS.glob("*"))


def _begin(options: StoreOptions, kit: Kit) -> int:
    wrong = store_options.trouble(options)
    if wrong:
        print(wrong, file=sys.stderr)
        return 1
    asked = kit.arguments
    try:
        id_ = begin(options, asked.begin, sys.stdin.read(), asked.expect, anew=asked.anew)
    except (ResticError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"id": id_}))
    return 0


def serve(options: StoreOptions, kit: Kit) -> int:
    """One night's work."""
    if kit.arguments.begin:
        return _begin(options, kit)

    if kit.arguments.look:
        return store_upkeep.look(options, hosts())

    def tell(key: str, text: str) -> None:
        kit.reports.message(text, fingerprint=("backup_store", options.instance, key))

    return store_upkeep.once(options, hosts(), tell, time.time())


if __name__ == "__main__":
    sys.exit(PROGRAM.run(serve))
