"""`lookout-restore`: put parts of this host back to what they were at a date."""

from __future__ import annotations

import logging
import os
import signal
import sys
import syslog

from lookout.backup.options import CREDENTIALS, RunOptions
from lookout.backup.restore import session, wishes
from lookout.backup.restore.context import Stop, of_this_host
from lookout.kit.program import Kit, Program

log = logging.getLogger("lookout.backup.restore")

PROGRAM = Program(
    "backup",
    RunOptions,
    "Put parts of this host back to what they were at a date. What is there now is kept aside.",
    arguments=wishes.add,
)
_WRONG = 2
_FOLDER = "CREDENTIALS_DIRECTORY"


def serve(options: RunOptions, kit: Kit) -> int:
    """One call; returns the exit status."""
    if os.environ.get(_FOLDER) == str(CREDENTIALS):
        # The key is elsewhere for who calls by hand.
        del os.environ[_FOLDER]
    wanted, problem = wishes.read(kit.arguments)
    if problem:
        print(f"lookout-restore: {problem}", file=sys.stderr)
        return _WRONG
    # Who lost the connection may have lost it in the midst: it comes to an end all the same.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    syslog.openlog("lookout-restore")
    try:
        session.run(of_this_host(options, wanted))
    except Stop as stop:
        print(f"lookout-restore: {stop}", file=sys.stderr)
        if stop.failed:
            syslog.syslog(syslog.LOG_ERR, str(stop))
            kit.reports.message(
                f"restore on {options.instance}: {stop}", fingerprint=("restore", options.instance)
            )
        return stop.status
    except KeyboardInterrupt:
        print("lookout-restore: interrupted, nothing was touched", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # By hand there is no unit that would hand over where errors are reported to.
    os.environ.setdefault(_FOLDER, str(CREDENTIALS))
    sys.exit(PROGRAM.run(serve))
