"""When certificates end, read from real ones; whatever else comes is refused."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.health import certificates
from lookout.health.results import CheckError

DAY = 86400


def make(folder: Path, name: str, days: int, *more: str) -> tuple[Path, Path]:
    """A certificate with its key, made by openssl."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", f"/CN={name}", "-days", str(days), "-keyout", str(key),
         "-out", str(certificate), *more],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


def end_by_openssl(certificate: Path) -> float:
    """The same from somebody else."""
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(certificate)],
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout  # fmt: skip
    text = shown.strip().removeprefix("notAfter=")
    return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC).timestamp()


# The second ends after 2049, where the time is written in another way.
@pytest.mark.parametrize("days", [10, 20_000])
def test_the_end_is_the_one_that_openssl_reads(tmp_path: Path, days: int) -> None:
    certificate, _ = make(tmp_path, "a", days)
    assert certificates.of_file(certificate) == end_by_openssl(certificate)


def test_of_a_chain_the_first_end_counts(tmp_path: Path) -> None:
    long, _ = make(tmp_path, "long", 100)
    short, _ = make(tmp_path, "short", 10)
    chain = tmp_path / "chain.pem"
    chain.write_text("text before\n" + long.read_text() + short.read_text())
    assert certificates.of_file(chain) == end_by_openssl(short)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="No such file"):
        certificates.of_file(tmp_path / "gone.pem")
    _, key = make(tmp_path, "a", 1)
    with pytest.raises(CheckError, match="there is no certificate in it"):
        certificates.of_file(key)
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(CheckError, match="could be read"):
        certificates.of_file(broken)


@given(st.binary(max_size=300))
def test_whatever_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(CheckError):
        certificates.not_after(der)


@pytest.fixture(scope="module")
def der(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    certificate, _ = make(tmp_path_factory.mktemp("der"), "a", 10)
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


@given(data=st.data())
def test_a_damaged_one_is_read_or_refused(data: st.DataObject, der: bytes) -> None:
    at = data.draw(st.integers(0, len(der) - 1))
    damaged = der[:at] + bytes([data.draw(st.integers(0, 255))]) + der[at + 1 :]
    try:
        end = certificates.not_after(damaged)
    except CheckError:
        return
    assert isinstance(end, float)


def test_a_served_one_is_read_whoever_signed_it(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "a", 10)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted, server.wrap_socket(accepted, server_side=True) as tls:
                tls.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        end = certificates.of_server("127.0.0.1", port, "", client, 10)
        thread.join()
    assert end == end_by_openssl(certificate)
    with pytest.raises(CheckError, match="could not be asked"):
        certificates.of_server("127.0.0.1", port, "", client, 1)


def test_verdicts() -> None:
    def problem(days_left: float) -> str:
        (result,) = certificates.judge("a.pem", days_left * DAY, 0, 14, True)
        return result.problem

    assert problem(15) == ""
    assert problem(10) == "it ends on 1970-01-11 00:00 UTC, in 10.0 days; 14 should be left"
    assert problem(-1) == "it ended on 1969-12-31 00:00 UTC"
