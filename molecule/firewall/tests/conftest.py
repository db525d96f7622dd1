"""Listeners on every host, a scanner outside, and a way in by SSH."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hosts import connect
from testinfra.host import Host
from walls import WALLED, address_of, listen

USER = "ops"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "walled" in metafunc.fixturenames:
        metafunc.parametrize("walled", WALLED, indirect=True, scope="module")


@pytest.fixture(scope="session", autouse=True)
def outside() -> None:
    listen(connect("friend"))


@pytest.fixture(scope="session")
def walls() -> list[Host]:
    """The hosts behind a firewall, for tests that run a playbook against both at once."""
    hosts = [connect(name) for name in WALLED]
    for host in hosts:
        listen(host)
    return hosts


@pytest.fixture(scope="module")
def walled(request: pytest.FixtureRequest, walls: list[Host]) -> Host:
    """Each host behind a firewall in turn."""
    return walls[WALLED.index(request.param)]


@pytest.fixture(scope="session")
def login(tmp_path_factory: pytest.TempPathFactory, walls: list[Host]) -> list[str]:
    """The command that signs in to the hosts behind a firewall, without the name of one."""
    key = tmp_path_factory.mktemp("ssh") / "key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(make, check=True, timeout=30)
    public = key.with_suffix(".pub").read_text(encoding="ascii").strip()
    # As on a real host: not root, but somebody who may use sudo, which hides what sshd tells
    for host in walls:
        host.check_output(
            f"id {USER} || useradd --create-home --shell /bin/bash {USER} && cd ~{USER} && "
            f"mkdir -p .ssh && echo '{public}' > .ssh/authorized_keys && chown -R {USER} .ssh && "
            f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{USER}"
        )
    trust = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    return ["ssh", "-l", USER, "-i", str(key), *trust]


@pytest.fixture
def by_ssh(walls: list[Host], login: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Variables that have Ansible reach the hosts by real SSH connections."""
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "False")
    addresses = dict(zip(WALLED, map(address_of, walls), strict=True))
    return {
        "ansible_connection": "ssh",
        "ansible_host": f"{{{{ {addresses}[inventory_hostname] }}}}",
        "ansible_user": USER,
        "ansible_become": True,
        "ansible_ssh_private_key_file": login[login.index("-i") + 1],
        "ansible_ssh_common_args": " ".join(login[login.index("-o") :]),
    }
