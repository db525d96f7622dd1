"""An agent that fails: what its kit tells of it, with the DSN that its unit loads."""

from __future__ import annotations

import sys

from lookout.kit.options import Options
from lookout.kit.program import Kit, Program


def serve(options: Options, kit: Kit) -> int:
    """Fail as an agent does whose code is wrong."""
    raise ZeroDivisionError(f"{kit.arguments.config.name} of {options.instance}")


if __name__ == "__main__":
    sys.exit(Program("health", Options, "Fails.").run(serve))
