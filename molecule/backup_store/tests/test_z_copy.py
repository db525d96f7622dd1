"""The second copy over a network: made by the unit of the store, restored without the store.

The last module of the scenario, as the place of the copy is gone afterwards.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from hosts import connect, wait_for
from play import converge
from stage import give_password, journal, now, save, snapshots, upkeep
from testinfra.host import Host

HOSTS = ["store"]
SECRETS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory/secrets"
SFTP_PORT = 2222
SFTP_PID = "/run/sshd-of-the-copy.pid"
CREDENTIALS = "[default]\naws_access_key_id = canary-id\naws_secret_access_key = canary-secret\n"


@pytest.fixture(autouse=True, scope="module")
def _data(host: Host) -> None:
    """The tests are the clock, and there is something to copy."""
    host.check_output("systemctl stop lookout-backup_store.timer")
    give_password(host)
    host.check_output(
        "sh -c %s", "mkdir -p /root/kept; head -c 2000000 /dev/urandom > /root/kept/x"
    )
    saved = save(host, "/root/kept", "--tag part=kept")
    save(host, "/root/kept", f"--tag record,good={saved}")


@pytest.fixture
def sftp(host: Host) -> Iterator[str]:
    """Another account behind an sshd at another port; its line of known_hosts."""
    host.check_output(
        "id copies || useradd --create-home --home-dir /srv/copies --password '*' copies"
    )
    host.check_output(f"/usr/sbin/sshd -p {SFTP_PORT} -o PidFile={SFTP_PID}")
    key = host.check_output("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    yield f"[127.0.0.1]:{SFTP_PORT} {key}"
    host.check_output(f"sh -c 'kill $(cat {SFTP_PID})'; userdel --remove copies")


@pytest.fixture
def s3(host: Host) -> Iterator[str]:
    """An S3 API on the control node, as the hosts reach it."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["moto_server", "--host", "0.0.0.0", "--port", str(port)],  # noqa: S104
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    gateway = host.check_output("ip route show default").split()[2]
    try:
        assert wait_for(lambda: _answers(port)), "the S3 server does not start"
        yield f"http://{gateway}:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def night() -> None:
    """One at the store, of which all is well, with a copy of what is there."""
    began = now()
    status, metrics = upkeep()
    assert status == 0, journal(began)
    assert metrics['copy_last_success_timestamp_seconds{host="store"}'] >= began


def assert_comes_back(store: Host, there: Host, repository: str, environment: str = "") -> None:
    """With no more than the escrow and the copy: the snapshots, and the data of the newest one."""
    password = (SECRETS / "backup_store").read_text(encoding="utf-8").strip()
    restic = f"env RESTIC_PASSWORD={password} {environment} restic --no-cache -r {repository}"
    listed = there.check_output(f"{restic} snapshots --json --no-lock")
    assert listed.count('"original"') == len(snapshots(store))
    there.check_output(
        f"{restic} restore latest --tag part=kept --no-lock --target /root/back --verify"
    )
    restored = there.check_output("sha256sum < /root/back/root/kept/x")
    there.check_output("rm -r /root/back")
    assert restored == store.check_output("sha256sum < /root/kept/x")


def test_a_copy_over_sftp_comes_back(host: Host, sftp: str) -> None:
    played = converge(
        "store", backup_store_copy_to="sftp:copies@127.0.0.1:/srv/copies/lookout",
        backup_store_copy_port=SFTP_PORT, backup_store_copy_known_hosts=[sftp],
    )  # fmt: skip
    assert played.returncode == 0, played.stdout
    host.check_output(
        "install -D -m 0600 -o copies /etc/lookout/backup_store.ssh/key.pub"
        " /srv/copies/.ssh/authorized_keys && chown copies: /srv/copies/.ssh"
    )
    night()
    assert_comes_back(host, host, "/srv/copies/lookout/store")


def test_a_copy_over_s3_comes_back(host: Host, s3: str) -> None:
    played = converge(
        "store", backup_store_copy_to=f"s3:{s3}/lookout-copy",
        backup_store_copy_credentials=CREDENTIALS,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout
    assert "canary-secret" not in played.stdout
    night()
    keys = "AWS_ACCESS_KEY_ID=canary-id AWS_SECRET_ACCESS_KEY=canary-secret"
    assert_comes_back(host, connect("client"), f"s3:{s3}/lookout-copy/store", keys)
    night()
