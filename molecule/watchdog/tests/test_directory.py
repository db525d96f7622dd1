"""The validation directory between two users of a group, one of whom means no good."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hosts import wait_for
from stage import DIRECTORY, VALIDATE, Started, bring, metric, start
from testinfra.host import Host


@pytest.fixture(scope="module", autouse=True)
def programs(host: Host) -> None:
    bring(host, "standin.py")


@pytest.fixture
def browser(host: Host) -> Iterator[Started]:
    """A process of the driver that no rule watches, so that nothing hurries the test."""
    yield start(host, "calm", "python3", "/usr/local/lib/standin.py", "lookout-test-none", "calm")
    host.check_output("systemctl stop calm.service")


def stranger(host: Host, command: str) -> int:
    return int(host.run("runuser -u stranger -- sh -c %s", command).rc)


def test_who_may_do_what_there(host: Host, browser: Started) -> None:
    directory = host.file(DIRECTORY)
    assert (directory.user, directory.group) == ("lookout-watchdog", "lookout-validators")
    assert directory.mode == 0o1730
    browser.validate()
    name = f"{DIRECTORY}/{browser.pid}-{browser.start}"
    assert host.file(name).user == "driver"
    assert host.file(name).mode == 0o644
    for command in (
        f"ls {DIRECTORY}",
        f"rm -f {name}",
        f"mv {name} {DIRECTORY}/x",
        f"echo 1 > {name}",
        f"touch {name}",
        f"ln {name} {DIRECTORY}/1-1",
        f"mv ~stranger/.profile {name}",
        f"chmod 777 {DIRECTORY}",
        f"mv {DIRECTORY} /run/lookout/other",
        f"rmdir {DIRECTORY}",
    ):
        assert stranger(host, command) != 0, command
    assert host.run(f"runuser -u nobody -- {VALIDATE} {browser.pid}").rc != 0
    assert host.run(f"runuser -u nobody -- test -e {name}").rc != 0
    assert host.file(name).exists


# How a stranger makes each file, and why it is no validation
ATTACKS = [
    ("date +%s > {name}", "owner"),
    ("ln -s /etc/passwd {name}", "symlink"),
    ("ln -s /dev/zero {name}", "symlink"),
    ("mkfifo {name}", "no_file"),
    ("truncate -s 1G {name}", "size"),
    ("date -d tomorrow +%s > {name}", "future"),
    ("date +%s > {directory}/hello", "name"),
]


def test_what_a_stranger_puts_there_is_no_validation_and_goes(host: Host, browser: Started) -> None:
    """The very name that the driver is about to use is taken, too."""
    base = f"{DIRECTORY}/{browser.pid}-{browser.start}"
    names = [base, *(f"{base}.{number:016x}" for number in range(1, len(ATTACKS)))]
    series = 'watchdog_validations_refused_total{{reason="{}"}}'
    before = {reason: metric(host, series.format(reason)) for _, reason in ATTACKS}
    passwords = host.check_output("sha256sum /etc/passwd")
    commands = [
        command.format(name=name, directory=DIRECTORY)
        for name, (command, _) in zip(names, ATTACKS, strict=True)
    ]
    assert stranger(host, " && ".join(commands)) == 0
    # The driver validates all the same, under the name or beside it.
    browser.validate()
    for reason, count in before.items():
        assert wait_for(lambda r=reason, c=count: metric(host, series.format(r)) > c, 10), reason
    left = host.check_output(f"find {DIRECTORY} -mindepth 1 -printf '%u %f\\n'").split()
    assert left[::2] == ["driver"]
    assert left[1].startswith(f"{browser.pid}-{browser.start}")
    assert host.check_output("sha256sum /etc/passwd") == passwords


def test_what_is_stale_goes(host: Host) -> None:
    gone = start(host, "short", "sleep", "300")
    gone.validate()
    name = f"{DIRECTORY}/{gone.pid}-{gone.start}"
    time.sleep(2.5)
    assert host.file(name).exists, "as long as it lives"
    host.check_output("systemctl stop short.service")
    assert wait_for(lambda: not host.file(name).exists, 10)


def test_psutils_create_time_is_taken_too(host: Host, browser: Started) -> None:
    """As a program writes it that uses psutil: seconds since 1970."""
    boot = host.check_output("sed -n 's/^btime //p' /proc/stat")
    created = int(boot) + browser.start / 100
    name = f"{DIRECTORY}/{browser.pid}-{created}"
    host.check_output("runuser -u driver -- sh -c %s", f"date +%s > {name}")
    time.sleep(2.5)
    assert host.file(name).exists
