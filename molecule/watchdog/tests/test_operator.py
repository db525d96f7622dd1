"""What an operator does with it: mistakes are refused, and a run mends what is broken."""

from __future__ import annotations

import re

from hosts import wait_for
from play import changed_tasks, converge
from stage import UNIT, metric
from testinfra.host import Host
from units import main_pid

# One run on one release says it.
HOSTS = ["trixie"]


def test_a_wrong_rule_is_refused_and_the_former_ones_hold(host: Host) -> None:
    pid = main_pid(host, UNIT)
    done = converge("trixie", watchdog_rules=[{"name": "all", "command": ".*"}])
    assert done.returncode != 0
    said = re.sub(r"\s+", " ", done.stdout)
    assert "rules[0].command must not match an empty command line" in said
    assert main_pid(host, UNIT) == pid
    assert metric(host, 'watchdog_matched_trees{rule="small"}') == 0


def test_what_a_run_may_not_delete_is_refused_before_anything_changes() -> None:
    done = converge("trixie", watchdog_profiles_patterns=["*"])
    assert done.returncode != 0
    assert "what matches is deleted" in re.sub(r"\s+", " ", done.stdout)
    assert changed_tasks(done) == []


def test_a_directory_that_was_deleted_comes_back(host: Host) -> None:
    pid = main_pid(host, UNIT)
    host.check_output("rm -r /run/lookout/watchdog")
    assert wait_for(lambda: metric(host, "watchdog_validation_directory_usable") == 0)
    done = converge("trixie")
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == ["watchdog : Ensure the validation directory is there"]
    assert wait_for(lambda: metric(host, "watchdog_validation_directory_usable") == 1)
    assert main_pid(host, UNIT) == pid
