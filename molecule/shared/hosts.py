"""The hosts of a scenario, reached through podman itself."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from testinfra.backend.base import CommandResult
from testinfra.backend.podman import PodmanBackend
from testinfra.host import Host

# Checks a service's certificate, and shows one of its own
AUTHORITY = "--cacert /etc/lookout/tls/ca.pem"
PROOF = (
    f"{AUTHORITY} --cert /etc/lookout/tls/client/fullchain.pem"
    " --key /etc/lookout/tls/client/privkey.pem"
)
# Asks a service as a host may that has a client certificate.
CURL = f"curl -fsS {PROOF}"


def run_id() -> str:
    return f"{os.environ.get('LOOKOUT_RUN', 'molecule')}-{os.environ['MOLECULE_SCENARIO_NAME']}"


def host_names() -> list[str]:
    scenario = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text(encoding="utf-8"))
    return [platform["name"] for platform in scenario["platforms"]]


class Entered(PodmanBackend):  # type: ignore[misc]
    """Runs a command in the namespaces of a host, with what `podman exec` would give it.

    That takes 4 ms of a processor. `podman exec` takes 100, and tests ask thousands of times.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.way: list[str] = []
        self.namespace = self.pid = 0

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        asked = self.encode(self.get_command(command, *args))
        # Files, as a pipe would be read until what the command leaves running has ended, too
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            argv = [*self.enter(), "/bin/sh", "-c", asked]
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=False, timeout=900
            )
            out.seek(0)
            err.seek(0)
            return self.result(done.returncode, asked, out.read(), err.read())

    def enter(self) -> list[str]:
        if not self.way or self.namespace != namespace_of(self.pid):  # it was started again
            ask = ["podman", "inspect", "--format", "{{.State.Pid}}", self.name]
            found = subprocess.run(ask, check=True, capture_output=True, text=True, timeout=30)
            self.pid = int(found.stdout)
            self.namespace = namespace_of(self.pid)
            self.way = way_into(self.pid)
        return self.way


def namespace_of(pid: int) -> int:
    """What tells a process from a later one with the same number; 0 where there is none."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except FileNotFoundError:
        return 0


def way_into(pid: int) -> list[str]:
    """The command that enters a container, with no more capabilities than its first process has."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    allowed = int(status.partition("CapBnd:")[2].split()[0], 16)
    bounding = ",".join(["-all", *(f"+cap_{bit}" for bit in range(64) if allowed >> bit & 1)])
    return [
        "nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
        "env", "--ignore-environment", "HOME=/root", "TERM=xterm", "container=podman",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "setpriv", f"--bounding-set={bounding}",
    ]  # fmt: skip


@functools.cache
def entered(container: str) -> Host:
    backend = Entered(container)
    host = Host(backend)
    backend.set_host(host)
    return host


def connect(name: str) -> Host:
    """The host of this scenario that the inventory calls `name`."""
    return entered(f"{run_id()}-{name}")


def put(host: Host, file: Path) -> None:
    """Copy a file of the tests into the host's /root."""
    copy = ["podman", "cp", str(file), f"{host.backend.name}:/root/{file.name}"]
    subprocess.run(copy, check=True, timeout=30)


def wait_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer; after the time is up, the last one."""
    deadline = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return answer


def scan(source: Host, address: str, tcp: str = "1-65535", udp: str = "") -> dict[str, list[int]]:
    """The ports of an address, `tcp` and `udp`, that answer to a host (scan.py)."""
    put(source, Path(__file__).with_name("scan.py"))
    shown = source.check_output("python3 /root/scan.py %s %s %s", address, tcp, udp)
    found: dict[str, list[int]] = json.loads(shown)
    return found
