"""The hosts of a scenario, reached through podman itself."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import testinfra
import yaml

# Asks a service as a host may that has a client certificate, and checks the service's own.
CURL = (
    "curl -fsS --cacert /etc/lookout/tls/ca.pem --cert /etc/lookout/tls/client/fullchain.pem"
    " --key /etc/lookout/tls/client/privkey.pem"
)


def run_id() -> str:
    return f"{os.environ.get('LOOKOUT_RUN', 'molecule')}-{os.environ['MOLECULE_SCENARIO_NAME']}"


def host_names() -> list[str]:
    scenario = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text(encoding="utf-8"))
    return [platform["name"] for platform in scenario["platforms"]]


def connect(name: str) -> testinfra.host.Host:
    """The host of this scenario that the inventory calls `name`."""
    return testinfra.get_host(f"podman://{run_id()}-{name}")


def put(host: testinfra.host.Host, file: Path) -> None:
    """Copy a file of the tests into the host's /root."""
    copy = ["podman", "cp", str(file), f"{host.backend.name}:/root/{file.name}"]
    subprocess.run(copy, check=True, timeout=30)


def wait_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer; after the time is up, the last one."""
    deadline = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return answer


def scan(
    source: testinfra.host.Host, address: str, tcp: str = "1-65535", udp: str = ""
) -> dict[str, list[int]]:
    """The ports of an address, `tcp` and `udp`, that answer to a host (scan.py)."""
    put(source, Path(__file__).with_name("scan.py"))
    shown = source.check_output("python3 /root/scan.py %s %s %s", address, tcp, udp)
    found: dict[str, list[int]] = json.loads(shown)
    return found
