"""The second run, without what is tagged `base`: that has scenarios of its own."""

from __future__ import annotations

import re

from hosts import host_names
from play import converge


def test_a_second_run_changes_nothing() -> None:
    done = converge(*host_names())
    assert done.returncode == 0, done.stdout + done.stderr
    hosts = re.findall(r"^\S+ +: ok=(\d+) +changed=(\d+)", done.stdout, re.M)
    assert hosts, "the run says nothing of its hosts"
    assert all(ok != "0" for ok, _ in hosts)
    assert {changed for _, changed in hosts} == {"0"}, done.stdout
