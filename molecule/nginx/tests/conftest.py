"""The services behind the gateway, started once on each host."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway import TLS, Gateway
from hosts import connect, host_names, put, wait_for
from testinfra.host import Host

HERE = Path(__file__).parent
PORTS = "sport = :8080 or sport = :8443 or sport = :8444 or sport = :8445"


def started(host: Host) -> Gateway:
    name = host.check_output("hostname")
    put(host, HERE / "servers.py")
    if host.run("systemctl is-active test-servers").rc != 0:
        host.check_output(f"systemd-run --unit test-servers python3 /root/servers.py {name} {TLS}")
    ready = f"[ $(ss -Hltn '{PORTS}' | wc -l) = 4 ]"
    assert wait_for(lambda: host.run(ready).rc == 0)
    return Gateway(host, name)


@pytest.fixture(scope="module")
def gateway(host: Host) -> Gateway:
    return started(host)


@pytest.fixture(scope="module")
def one() -> Gateway:
    """The gateway of the first host, for what does not depend on the release."""
    return started(connect(host_names()[0]))
