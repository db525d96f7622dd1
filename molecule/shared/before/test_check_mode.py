"""Check mode on empty hosts, without what is tagged `base`: that has scenarios of its own."""

from __future__ import annotations

from hosts import host_names
from play import converge


def test_check_mode_goes_through_on_empty_hosts() -> None:
    done = converge(*host_names(), check_mode=True)
    assert done.returncode == 0, done.stdout + done.stderr
