"""python -m lookout.status: the page, one task, the reports, or what is too old."""

from __future__ import annotations

import argparse
import logging
import sqlite3
import sys
import time
from contextlib import closing

from lookout.kit.program import Kit, Program
from lookout.status import reports, run_task, storage, told
from lookout.status.options import StatusOptions
from lookout.status.records import add_result, close_gone, prune

LOG = logging.getLogger("lookout.status")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for; the page without anything."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    verbs.add_parser("task", help="run one task").add_argument("name")
    verbs.add_parser("report", help="run all reports")
    verbs.add_parser("prune", help="delete what is older than keep_days")


def serve(options: StatusOptions, kit: Kit) -> int:
    """Do what was asked for."""
    verb = kit.arguments.verb
    try:
        if verb == "task":
            return run_task.main(options, kit.arguments.name, kit.reports)
        if verb == "report":
            return run_reports(options)
        if verb == "prune":
            return prune_all(options)
    except (sqlite3.Error, storage.Newer) as error:
        LOG.error("%s: the history cannot be used: %s", verb, error)
        kit.reports.exception(error)
        return 1
    from lookout.status import server  # noqa: PLC0415 -- web libraries, for the page alone

    return server.serve(options, kit)


def run_reports(options: StatusOptions) -> int:
    """Run every report; one that fails is written as well, and stops none of the others."""
    failed = 0
    for file in reports.files(options.reports_directory):
        result = reports.run(options, file)
        failed += not result.ok
        with storage.writer(options.database) as connection:
            add_result(connection, result)
    return 1 if failed else 0


def prune_all(options: StatusOptions) -> int:
    """Delete what is too old, give the disk its room back, look whether the file is whole."""
    told.Memory(options.told_directory).forget(set(options.tasks))
    storage.set_aside_if_damaged(options.database)
    with storage.writer(options.database) as connection:
        close_gone(connection, set(options.tasks), time.time())
        deleted = prune(connection, time.time(), options.keep_days)
    with closing(sqlite3.connect(options.database, timeout=10, isolation_level=None)) as connection:
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    LOG.info("%d rows older than %d days deleted", deleted, options.keep_days)
    return 0


PROGRAM = Program("status", StatusOptions, "A page that says how the site fares.", arguments)

if __name__ == "__main__":
    sys.exit(PROGRAM.run(serve))
