"""`python -m lookout.backup.drill --config FILE`: a systemd timer does it, or somebody by hand."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from lookout.backup.drill import report, since, state
from lookout.backup.drill.options import DrillOptions
from lookout.backup.drill.results import ERROR, FAILED, PASSED, Drill
from lookout.backup.drill.run import Order, drill, in_order
from lookout.kit.files import alone
from lookout.kit.metrics import write_textfile
from lookout.kit.program import WRONG_CONFIGURATION, Kit, Program, ProgramError

LOG = logging.getLogger("lookout.backup.drill")

# Apart from 1, which is a program that broke down, and 2, a configuration that is wrong.
STATUS = {PASSED: 0, FAILED: 3, ERROR: 4}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", action="append", default=[], help="of these hosts alone; may be given again"
    )
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        help="of these parts alone, which leaves metrics and messages alone; may be given again",
    )
    parser.add_argument(
        "--keep-scratch", action="store_true", help="leave what was restored for a look"
    )
    parser.add_argument(
        "--note-hosts",
        action="store_true",
        help="drill nothing: say in the metrics since when which hosts are to be drilled",
    )


PROGRAM = Program(
    "restore_drill",
    DrillOptions,
    "Restore the newest backups into a scratch place and judge them. Ends with 0 when all are "
    "good, with 3 when one is bad, with 4 when one could not be judged.",
    arguments=_arguments,
)


def _tell(found: Drill, kit: Kit) -> None:
    """A message for each host whose backup did not pass."""
    for host in found.hosts:
        if host.result == PASSED:
            continue
        lines = [*host.failures, *host.errors]
        for part in host.parts:
            lines += [f"{part.part}: {line}" for line in (*part.failures, *part.errors)]
        means = "the backup is bad" if host.result == FAILED else "the backup could not be judged"
        kit.reports.message(
            f"restore drill of {host.host} on {found.instance}: {means}\n" + "\n".join(lines),
            "error" if host.result == FAILED else "warning",
            fingerprint=("restore_drill", host.host, host.result),
            tags={"host": host.host, "result": host.result},
        )


def _keep(found: Drill, options: DrillOptions, kit: Kit) -> None:
    """State, metrics and messages of a drill of whole hosts."""
    states, unreadable = state.load(options.state_dir / "state.json")
    if unreadable:
        LOG.warning("%s: what was before is unknown", unreadable)
    states = state.follow(states, found, options.hosts)
    # Metrics first: what is kept for the next drill is worth less than what this one found.
    _publish(states, options)
    state.save(states, options.state_dir / "state.json")
    _tell(found, kit)


def _publish(states: state.States, options: DrillOptions) -> None:
    """The metrics of the last drills, and since when hosts wait for one."""
    file = options.state_dir / since.FILE
    known = since.follow(since.load(file), options.hosts, time.time())
    registry = state.metrics(states)
    since.publish(known, registry)
    write_textfile(registry, options.metrics_file)
    since.save(known, file)


def _longest_ago_first(hosts: tuple[str, ...], states: state.States) -> tuple[str, ...]:
    """Whoever waits longest for a pass comes first: a time limit must not hit the same ones."""
    passed = {host: one.last_passed or 0.0 for host, one in states.items()}
    return tuple(sorted(hosts, key=lambda host: passed.get(host, 0.0)))


def serve(options: DrillOptions, kit: Kit) -> int:
    """One drill; what it leaves behind are metrics, a report and messages."""
    states, _ = state.load(options.state_dir / "state.json")
    if kit.arguments.note_hosts:
        _publish({host: one for host, one in states.items() if host in options.hosts}, options)
        return 0
    try:
        hosts = in_order(kit.arguments.host, options.hosts)
    except ValueError as error:
        print(f"--host: {error}", file=sys.stderr)
        return WRONG_CONFIGURATION
    hosts = _longest_ago_first(hosts, states)
    order = Order(hosts, tuple(kit.arguments.part), kit.arguments.keep_scratch)
    # The next one empties the scratch place.
    with alone(options.state_dir / "lock", wait=False) as free:
        if not free:
            raise ProgramError("another drill goes on: wait for its end")
        found = drill(options, order)
        if not found.partial:
            _keep(found, options, kit)
        page = report.write(found, options.reports_dir, options.keep_reports)
    print(report.table(found))
    LOG.info("%s in %.0f s; the report is %s", found.result, found.seconds, page)
    return STATUS[found.result]


if __name__ == "__main__":
    sys.exit(PROGRAM.run(serve))
