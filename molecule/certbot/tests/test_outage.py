"""The ACME server is down, comes back without its memory, and in the end certbot goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateways import GATEWAYS, metrics, on_disk, on_the_wire, public, renew, serial
from hosts import connect
from play import changed_tasks, converge
from testinfra.host import Host


def gateways() -> Iterator[Host]:
    return (connect(name) for name in GATEWAYS)


@pytest.fixture(scope="module", autouse=True)
def acme_server() -> Iterator[None]:
    """Gone for the tests that come first, and there again for whoever comes next."""
    connect("acme").check_output("systemctl stop pebble")
    yield
    connect("acme").check_output("systemctl start pebble")


def test_the_former_certificate_stays_while_the_server_is_down() -> None:
    for host in gateways():
        name = f"status.{public(host)}"
        before = serial(on_disk(host, name))
        succeeded = metrics(host)["last_success_timestamp_seconds"]
        assert renew(host, name) != 0
        assert serial(on_the_wire(host)) == serial(on_disk(host, name)) == before
        seen = metrics(host)
        assert seen["renewal_failed"] == 1
        assert seen["last_attempt_timestamp_seconds"] > succeeded
        assert seen["last_success_timestamp_seconds"] == succeeded
        said = host.check_output("journalctl --no-pager -n 30 -u certbot.service")
        assert "Failed to renew certificate" in said


def test_a_run_asks_nobody_where_nothing_is_due() -> None:
    done = converge(*GATEWAYS)
    assert done.returncode == 0, done.stdout[-3000:]
    for host in gateways():
        assert metrics(host)["renewal_failed"] == 0


def test_a_run_tries_what_failed_again_and_quotes_certbot() -> None:
    for host in gateways():
        name = f"status.{public(host)}"
        assert renew(host, name) != 0
        file = f"/etc/letsencrypt/renewal/{name}.conf"
        host.check_output(f"sed -i '1i renew_before_expiry = 3000 days' {file}")
    done = converge(*GATEWAYS)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "Connection refused" in said
    assert "goes on being served" in said


def test_an_account_that_the_server_forgot_is_made_anew() -> None:
    # Its memory ends with the process.
    connect("acme").check_output("systemctl start pebble")
    for host in gateways():
        assert renew(host) != 0
        host.check_output("rm -r /etc/letsencrypt/accounts/*")
    done = converge(*GATEWAYS)
    assert done.returncode == 0, done.stdout[-3000:]
    for host in gateways():
        assert renew(host) == 0
        assert metrics(host)["renewal_failed"] == 0


def test_certbot_goes_without_trace_and_the_site_ca_serves() -> None:
    done = converge(*GATEWAYS, playbook="remove.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    for host in gateways():
        assert "Site CA" in on_the_wire(host, "Site CA")
        left = host.run(
            "ls -d /etc/letsencrypt /var/lib/letsencrypt /var/log/letsencrypt "
            "/var/lib/lookout/certbot /var/lib/lookout/acme "
            "/etc/systemd/system/certbot.service.d"
        )
        assert left.stdout == ""
        assert not host.exists("certbot")
        assert not host.run("systemctl --failed --plain --no-legend").stdout


def test_without_certificates_nothing_is_done() -> None:
    done = converge(*GATEWAYS, certbot_certificates=[], certbot_email="", certbot_agree_terms=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert changed_tasks(done) == []
    for host in gateways():
        assert not host.exists("certbot")
