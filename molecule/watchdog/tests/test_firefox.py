"""A real Firefox and a worker that drives it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hosts import wait_for
from stage import GRACE, SCAN, TOLERANCE, Started, bring, gone, metric, now, process, start, tree
from testinfra.host import Host

# Where the browser is
HOSTS = ["trixie"]
# converge.yml's, of the rule `firefox`
INTERVAL = 6
STARTS_SECONDS = 60


def log(host: Host) -> list[tuple[float, str]]:
    """What the worker said."""
    unit = host.check_output("systemctl show --property=InvocationID --value worker.service")
    shown = host.check_output(f"journalctl --no-pager --output=cat _SYSTEMD_INVOCATION_ID={unit}")
    return [(float(time_), text) for time_, text in re.findall(r"^(\d+\.\d+) (.+)$", shown, re.M)]


def validated(host: Host, since: float = 0) -> int | None:
    """Number of the browser that the worker last found well, since a time on the host's clock."""
    found = [text for at, text in log(host) if text.startswith("validated") and at > since]
    return int(found[-1].split()[1]) if found else None


@pytest.fixture(scope="module")
def worker(host: Host) -> Iterator[Started]:
    bring(host, "driver.py")
    yield start(host, "worker", "python3", "/usr/local/lib/driver.py", "/tmp/rust_mozprofile")
    host.run("systemctl stop worker.service")


def browser(host: Host, since: float = 0) -> Started:
    """The one that answers now."""
    pid = wait_for(lambda: validated(host, since), STARTS_SECONDS)
    assert pid, log(host)
    return process(host, pid)


def test_validated_it_lives(host: Host, worker: Started) -> None:
    first = browser(host)
    time.sleep(2 * INTERVAL)
    assert first.alive
    assert validated(host) == first.pid
    assert len(tree(host, first)) > 3
    assert metric(host, 'watchdog_validated_trees{rule="firefox"}') == 1
    assert "ended" not in " ".join(text for _, text in log(host))
    assert worker.alive


def test_profiles_of_it_are_left_alone_and_those_of_others_go(host: Host, worker: Started) -> None:
    """What is not in use goes at once here (watchdog_profiles_keep_hours: 0)."""
    profile = next(text.split()[2] for _, text in reversed(log(host)) if text.startswith("started"))
    host.check_output("mkdir -p /tmp/rust_mozprofileDead/storage")
    host.check_output("touch /tmp/rust_mozprofileDead/prefs.js")
    before = host.check_output(f"find {profile} -type f | wc -l")
    assert int(before) > 10
    host.check_output("systemctl start systemd-tmpfiles-clean.service")
    assert host.check_output("find /tmp/rust_mozprofileDead -mindepth 1") == ""
    assert int(host.check_output(f"find {profile} -type f | wc -l")) >= 0.8 * int(before)
    assert host.file(f"{profile}/.parentlock").exists
    assert browser(host, now(host)).alive, "it answers on"
    assert worker.alive


def test_one_that_hangs_ends_and_its_worker_goes_on(host: Host, worker: Started) -> None:
    bystander = start(host, "bystander", "sleep", "300")
    kills = 'watchdog_kills_total{reason="validation_old",rule="firefox"}'
    before = metric(host, kills)
    hung = browser(host)
    members = tree(host, hung)
    hung.observe()
    host.check_output(f"kill -STOP {hung.pid}")
    stopped = now(host)
    assert gone(members, INTERVAL + SCAN + GRACE + 30)
    assert wait_for(lambda: [text for at, text in log(host) if text == "goes on" and at > stopped])
    assert f"ended {hung.pid} -9" in [text for _, text in log(host)]
    ended = hung.ended(5)
    last = max(at for at, text in log(host) if text == f"validated {hung.pid}")
    print(f"{len(members)} processes ended {ended - last:.1f} s after the last validation")
    assert ended - last < INTERVAL + SCAN + GRACE + TOLERANCE
    assert worker.alive
    # Its own last answer may have been read after it was stopped.
    after = browser(host, ended)
    assert after.alive
    assert after.pid != hung.pid
    assert bystander.alive
    assert metric(host, kills) == before + 1
    host.check_output("systemctl stop bystander.service")


@pytest.mark.usefixtures("worker")
def test_one_that_grew_ends_tree_and_all(host: Host) -> None:
    """The rule `grown` allows so little that any Firefox is past it."""
    host.check_output("systemctl stop worker.service")
    kills = 'watchdog_kills_total{reason="memory",rule="grown"}'
    before = metric(host, kills)
    large = start(
        host, "worker", "python3", "/usr/local/lib/driver.py", "/tmp/rust_mozprofile-grown"
    )
    assert wait_for(lambda: metric(host, kills) > before, STARTS_SECONDS)
    assert wait_for(
        lambda: any(text.startswith("ended") and "grown" not in text for _, text in log(host)[-4:]),
        15,
    )
    assert large.alive, "the worker goes on"
    host.check_output("systemctl stop worker.service")
    assert host.run("pgrep -f [r]ust_mozprofile-grown").stdout == ""
