"""Who gets which certificate, what it is good for, and what happens when it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import authority
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hosts import CURL, connect
from play import changed_tasks, converge
from testinfra.host import Host
from units import main_pid

TLS = "/etc/lookout/tls"
UNIT = "prometheus-node-exporter.service"
CLIENT_NAME = "client.lookout.internal"


@pytest.fixture
def mon() -> Host:
    """The host that may ask."""
    return connect("trixie")


@pytest.fixture
def app() -> Host:
    """A host that is asked."""
    return connect("bookworm")


def write(host: Host, path: str, text: str) -> None:
    """Write a file; one that is there keeps its owner and mode."""
    host.check_output("printf '%%s' %s > %s", text, path)


def certificate(host: Host, name: str = "host") -> x509.Certificate:
    text = host.file(f"{TLS}/{name}/fullchain.pem").content
    return x509.load_pem_x509_certificate(text)


def names(found: x509.Certificate) -> set[str]:
    alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in alternative}


def usage(found: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def ask(host: Host, url: str, show: str = "") -> str:
    """The status of an answer, or curl's complaint; `show` is a folder with a certificate."""
    shown = f"--cert {show}/fullchain.pem --key {show}/privkey.pem" if show else ""
    options = f"--max-time 10 --output /dev/null --write-out '%{{http_code}} ' {shown}"
    done = host.run(f"curl -sS --cacert {TLS}/ca.pem {options} {url}")
    return f"{done.stdout}{done.stderr}".strip()


def served_serial(host: Host, name: str) -> int:
    shown = host.check_output(
        f"openssl s_client -connect {name}:9100 </dev/null 2>/dev/null"
        " | openssl x509 -noout -serial"
    )
    return int(shown.removeprefix("serial="), 16)


def own(host: Host, folder: str, issued: str, key: authority.Key) -> str:
    """Put a client certificate of the test's own on a host; the folder it is in."""
    host.check_output(f"mkdir -p /root/{folder}")
    write(host, f"/root/{folder}/fullchain.pem", issued)
    write(host, f"/root/{folder}/privkey.pem", authority.pem(key))
    return f"/root/{folder}"


@pytest.fixture
def repaired() -> Iterator[None]:
    """Bring the asked host back to what the playbook makes of it."""
    yield
    assert converge("bookworm").returncode == 0


# --- what is made ---


def test_the_key_of_the_ca_is_encrypted_and_private() -> None:
    assert b"ENCRYPTED" in authority.KEY.read_bytes()
    assert authority.KEY.stat().st_mode & 0o777 == 0o600
    assert authority.KEY.parent.stat().st_mode & 0o777 == 0o700
    limits = authority.site_ca()[0].extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert (limits.value.ca, limits.value.path_length) == (True, 0)


@pytest.mark.parametrize("name", ["trixie", "bookworm"])
def test_a_host_has_a_certificate_for_its_names_and_servers_alone(name: str) -> None:
    found = certificate(connect(name))
    own_address = connect(name).check_output("hostname --all-ip-addresses").split()[0]
    assert names(found) == {name, "localhost", "127.0.0.1", "::1", own_address}
    assert usage(found) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert (found.not_valid_after_utc - found.not_valid_before_utc).days <= 366


def test_only_the_monitoring_host_has_one_for_clients(mon: Host, app: Host) -> None:
    found = certificate(mon, "client")
    assert usage(found) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert names(found) == {CLIENT_NAME}
    assert not app.file(f"{TLS}/client").exists


def test_keys_are_for_root_and_the_services(mon: Host, app: Host) -> None:
    for host, kinds in ((mon, ("host", "client")), (app, ("host",))):
        for kind in kinds:
            key = host.file(f"{TLS}/{kind}/privkey.pem")
            assert (key.user, key.group, key.mode) == ("root", "lookout-tls", 0o640)


def test_prometheus_learns_when_they_end(mon: Host) -> None:
    shown = mon.check_output("cat /var/lib/prometheus/node-exporter/certificates.prom")
    ends = dict(re.findall(r'\{certificate="(\w+)"\} (\d+)', shown))
    assert int(ends["host"]) == certificate(mon).not_valid_after_utc.timestamp()
    assert int(ends["client"]) == certificate(mon, "client").not_valid_after_utc.timestamp()
    assert int(ends["ca"]) == authority.site_ca()[0].not_valid_after_utc.timestamp()
    assert 'certificate="client"' in mon.check_output(f"{CURL} https://127.0.0.1:9100/metrics")


# --- who is let in ---


def test_the_client_certificate_is_let_in(mon: Host) -> None:
    assert ask(mon, "https://bookworm:9100/metrics", f"{TLS}/client") == "200"


def test_others_are_refused_and_the_log_says_so(mon: Host, app: Host) -> None:
    url = "https://bookworm:9100/metrics"
    key = authority.new_key()
    foreign = authority.issue(authority.other_ca(), key, CLIENT_NAME, client=True)
    server = authority.issue(authority.site_ca(), key, "bookworm", client=False)
    ended = authority.issue(authority.site_ca(), key, CLIENT_NAME, client=True, days=-1)
    answers = {
        "none": ask(mon, url),
        "another CA's": ask(mon, url, own(mon, "foreign", foreign, key)),
        "a server's": ask(mon, url, own(mon, "server", server, key)),
        "an expired one": ask(mon, url, own(mon, "ended", ended, key)),
    }
    assert {who: answer[:3] for who, answer in answers.items()} == dict.fromkeys(answers, "000")
    said = app.check_output(f"journalctl --no-pager --output=cat --unit {UNIT}")
    assert "client didn't provide a certificate" in said
    assert "certificate signed by unknown authority" in said
    assert "incompatible key usage" in said
    assert "certificate has expired" in said


def test_a_client_of_the_site_ca_with_another_name_is_refused(mon: Host) -> None:
    """Where the exporter can tell: Debian 13's does, Debian 12's goes by the usage alone."""
    key = authority.new_key()
    other = authority.issue(authority.site_ca(), key, "intruder.example.com", client=True)
    answer = ask(mon, "https://localhost:9100/metrics", own(mon, "intruder", other, key))
    assert answer.startswith("000")


def test_plain_http_is_refused(mon: Host) -> None:
    assert ask(mon, "http://bookworm:9100/metrics").startswith("400")


def test_a_server_with_another_name_is_not_believed(mon: Host) -> None:
    address = mon.check_output("getent hosts bookworm").split()[0]
    answer = ask(mon, f"--resolve other:9100:{address} https://other:9100/metrics", f"{TLS}/client")
    assert "no alternative certificate subject name matches" in answer


def test_old_versions_of_tls_are_refused(mon: Host) -> None:
    answer = ask(mon, "--tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://bookworm:9100/metrics")
    assert answer.startswith("000")


# --- renewal ---


def test_in_its_last_third_it_is_renewed_and_taken_up_without_a_restart(app: Host) -> None:
    app.check_output(f"rm {TLS}/host/fullchain.pem")
    assert converge("bookworm", tls_certificate_days=100).returncode == 0
    short = certificate(app)
    assert (short.not_valid_after_utc - short.not_valid_before_utc).days == 100
    assert changed_tasks(converge("bookworm", tls_certificate_days=100)) == []
    running = main_pid(app, UNIT)

    done = converge("bookworm")  # 100 days are less than a third of 365
    assert changed_tasks(done) == [
        "tls : Have the site CA sign them",
        "tls : Ensure the certificates are there",
        "tls : Ensure Prometheus learns when they end",
    ]
    long = certificate(app)
    assert long.serial_number != short.serial_number
    assert long.public_key() == short.public_key(), "the key is kept"
    assert served_serial(app, "bookworm") == long.serial_number
    assert main_pid(app, UNIT) == running
    assert changed_tasks(converge("bookworm")) == []


def test_an_expired_one_is_refused_until_it_is_renewed(mon: Host, app: Host) -> None:
    key = authority.load_key(app.file(f"{TLS}/host/privkey.pem").content_string)
    ended = authority.issue(authority.site_ca(), key, "bookworm", client=False, days=-1)
    write(app, f"{TLS}/host/fullchain.pem", ended)
    url = "https://bookworm:9100/metrics"
    assert "certificate has expired" in ask(mon, url, f"{TLS}/client")
    assert converge("bookworm").returncode == 0
    assert ask(mon, url, f"{TLS}/client") == "200"


def test_one_that_does_not_match_its_key_is_made_anew(mon: Host, app: Host) -> None:
    other = authority.issue(authority.site_ca(), authority.new_key(), "bookworm", client=False)
    write(app, f"{TLS}/host/fullchain.pem", other)
    url = "https://bookworm:9100/metrics"
    assert ask(mon, url, f"{TLS}/client").startswith("000")
    said = app.check_output(f"journalctl --no-pager --output=cat --unit {UNIT}")
    assert "private key does not match public key" in said
    assert converge("bookworm").returncode == 0
    assert ask(mon, url, f"{TLS}/client") == "200"


@pytest.mark.usefixtures("repaired")
def test_further_names_are_taken_up(app: Host) -> None:
    done = converge("bookworm", tls_extra_names=["app.example.com", "192.0.2.7", "2001:db8::7"])
    assert done.returncode == 0
    assert names(certificate(app)) >= {"app.example.com", "192.0.2.7", "2001:db8::7"}


# --- wrong input ---


def test_a_wrong_passphrase_ends_the_run_and_leaves_the_ca(app: Host) -> None:
    before = authority.KEY.read_bytes(), authority.CERTIFICATE.read_bytes()
    serial = certificate(app).serial_number
    done = converge("bookworm", tls_authority_passphrase="not-the-right-one")
    assert done.returncode != 0
    assert "passphrase" in done.stdout.lower()
    assert (authority.KEY.read_bytes(), authority.CERTIFICATE.read_bytes()) == before
    assert certificate(app).serial_number == serial


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"tls_authority_passphrase": ""}, "ansible-vault encrypt_string"),
        ({"tls_authority_passphrase": "short"}, "shorter than 12 characters"),
        ({"tls_certificate_days": 400}, "from 3 to 365, got 400"),
    ],
)
def test_what_makes_no_sense_is_refused(variables: dict[str, Any], said: str) -> None:
    done = converge("bookworm", **variables)
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split())


def test_check_mode_changes_nothing_on_a_host_that_is_done() -> None:
    done = converge("trixie", "bookworm", check_mode=True)
    assert done.returncode == 0
    assert changed_tasks(done) == []
