"""What a unit really may do, read from the process: a container may ignore a directive."""

from __future__ import annotations

import re
import time

from hosts import CURL
from testinfra.host import Host


def main_pid(host: Host, unit: str) -> int:
    """The unit's main process, 0 where there is none."""
    return int(host.check_output(f"systemctl show --property=MainPID --value {unit}"))


def assert_hardened(host: Host, unit: str, most_exposure: float, user: str = "prometheus") -> None:
    """Fail unless the process has no capability, a system call filter, and a read-only system."""
    pid = main_pid(host, unit)
    lines = host.check_output(f"cat /proc/{pid}/status").splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    assert {int(status[kind], 16) for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
    assert status["Uid"].split()[0] == str(host.user(user).uid)
    for place in ("/etc", "/usr", "/var/log", "/var/lib"):
        refused = host.run(f"nsenter --target {pid} --mount -- touch {place}/lookout-probe")
        assert refused.rc != 0, f"{unit} can write to {place}"
    exposure = re.search(
        r"Overall exposure level for \S+: ([0-9.]+)",
        host.check_output(f"systemd-analyze security --no-pager {unit}"),
    )
    assert exposure
    assert float(exposure[1]) <= most_exposure


def assert_survives_a_kill(host: Host, unit: str, url: str, seconds: float = 5) -> None:
    """Fail unless systemd has the unit answering again within so many seconds after a kill -9."""
    former = main_pid(host, unit)
    started = time.monotonic()
    host.check_output(f"kill -9 {former}")
    while time.monotonic() - started < seconds:
        if main_pid(host, unit) not in (0, former) and host.run(f"{CURL} {url}").rc == 0:
            return
        time.sleep(0.2)
    raise AssertionError(f"{unit} did not answer {seconds} s after it was killed")
