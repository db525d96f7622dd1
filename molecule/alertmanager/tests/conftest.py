"""The receivers of the tests, real ones, on the host beside Alertmanager."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hosts import CURL, connect, put, wait_for
from receivers import API, HOOKS_LOG, MAILS_LOG, PASSWORD, Receivers
from testinfra.host import Host

HERE = Path(__file__).parent
RECEIVER_PACKAGES = "python3-aiosmtpd openssl"
MAKE_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
    "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout /run/mail.key "
    "-out /usr/local/share/ca-certificates/test-mail.crt"
)


def start_receivers(host: Host) -> Receivers:
    """Receivers for webhooks and mail, started once on a host."""
    for script in ("hooks.py", "mails.py"):
        put(host, HERE / script)
    if host.run("systemctl is-active test-mails").rc != 0:
        install = f"apt-get install -y -q --no-install-recommends {RECEIVER_PACKAGES}"
        host.check_output(f"DEBIAN_FRONTEND=noninteractive {install}")
        host.check_output(f"{MAKE_CERTIFICATE} && update-ca-certificates")
        host.check_output(
            "systemctl reset-failed; "
            f"systemd-run --unit test-hooks python3 /root/hooks.py 9876 {HOOKS_LOG} && "
            "systemd-run --unit test-mails python3 /root/mails.py 2525 "
            "/usr/local/share/ca-certificates/test-mail.crt /run/mail.key "
            f"{MAILS_LOG} lookout {PASSWORD}"
        )
        # The CA certificates are read at the start.
        host.check_output("systemctl restart prometheus-alertmanager")
    ready = f"[ $(ss -Hltn 'sport = :9876 or sport = :2525' | wc -l) = 2 ] && {CURL} {API}/-/ready"
    assert wait_for(lambda: host.run(ready).rc == 0), host.check_output(
        "journalctl --no-pager -n 30 -u test-hooks -u test-mails -u prometheus-alertmanager"
    )
    return Receivers(host)


@pytest.fixture(scope="module")
def receivers(host: Host) -> Receivers:
    return start_receivers(host)


@pytest.fixture(scope="module")
def both() -> list[Receivers]:
    """Those of all hosts at once, for tests of the hosts together."""
    return [start_receivers(connect(name)) for name in ("trixie", "bookworm")]


@pytest.fixture
def name() -> str:
    """An alert's name that no other test uses."""
    return f"Test{uuid.uuid4().hex[:8]}"
