"""How the tests of a scenario get into its hosts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hosts import namespace_of, way_into


def test_a_command_may_do_no_more_than_the_container() -> None:
    shown = re.search(r"^CapBnd:\s+(\w+)$", Path("/proc/self/status").read_text("ascii"), re.M)
    assert shown
    way = way_into(os.getpid())
    bounding = way[-1].removeprefix("--bounding-set=").split(",")
    assert bounding[0] == "-all"
    allowed = {int(word.removeprefix("+cap_")) for word in bounding[1:]}
    assert sum(1 << bit for bit in allowed) == int(shown[1], 16)
    # Nothing of the environment here comes along.
    assert "--ignore-environment" in way


def test_a_host_that_was_started_again_is_found_out() -> None:
    assert namespace_of(os.getpid()) == os.stat("/proc/self/ns/pid").st_ino
    assert namespace_of(0) == 0, "the process is gone"
