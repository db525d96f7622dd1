"""Mutual TLS against a real server: who gets an answer, who a refusal, who an error."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from plugins.filter import certificates
from plugins.module_utils import lookout_http
from plugins.modules import probe

NOTHING: dict[str, str] = {"certificate": "", "key": ""}


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost that serves, asks, and is its own CA."""
    folder = tmp_path_factory.mktemp("tls")
    openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "30", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def url(made: Path) -> Iterator[str]:
    """Where OpenSSL's own server answers, which demands a client certificate."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = "-cert cert.pem -key key.pem -CAfile cert.pem -Verify 1 -verify_return_error -www"
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", *options.split()],
        cwd=made,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"https://localhost:{port}/"
    server.kill()
    server.wait()


def tls(made: Path, **other: str) -> dict[str, str]:
    files = {"ca": "cert.pem", "certificate": "cert.pem", "key": "key.pem", **other}
    return {name: str(made / file) if file else "" for name, file in files.items()}


def test_who_has_a_certificate_gets_an_answer(url: str, made: Path) -> None:
    assert "s_server" in lookout_http.fetch(url, tls(made), 5)


def test_who_has_none_is_refused_by_a_server_that_is_there(url: str, made: Path) -> None:
    with pytest.raises(lookout_http.CertificateRequiredError, match="shows a client certificate"):
        lookout_http.fetch(url, tls(made, **NOTHING), 5)


def test_a_server_that_does_not_prove_itself_is_an_error(url: str, made: Path) -> None:
    other = url.replace("localhost", "127.0.0.1")
    assert lookout_http.fetch(other, tls(made), 5)
    with pytest.raises(OSError, match="certificate verify failed"):
        lookout_http.fetch(url, {**tls(made), "ca": "/etc/ssl/certs/ca-certificates.crt"}, 5)


def test_a_probe_tells_the_difference(url: str, made: Path) -> None:
    assert probe.ask({"url": url, "contains": "s_server"}, tls(made)) == (True, url)
    assert probe.ask({"refuses": url}, tls(made)) == (True, url)
    good, said = probe.ask({"url": url}, tls(made, **NOTHING))
    assert (good, "refuses this host" in said) == (True, True)
    good, said = probe.ask({"url": url, "contains": "s_server"}, tls(made, **NOTHING))
    assert (good, "client certificate" in said) == (False, True)
    good, said = probe.ask({"refuses": "https://localhost:1/"}, tls(made))
    assert (good, "refused" in said) == (False, True)


def test_the_end_of_a_certificate(made: Path) -> None:
    text = (made / "cert.pem").read_text()
    assert certificates.certificate_not_after(text) == pytest.approx(
        time.time() + 30 * 86400, abs=60
    )
    assert 29.9 < certificates.certificate_days_left(text) < 30
    assert certificates.certificate_days_left("nothing") == 0
    with pytest.raises(AnsibleFilterError, match="PEM"):
        certificates.certificate_not_after("nothing")
