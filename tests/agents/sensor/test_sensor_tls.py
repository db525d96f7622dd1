"""The server under mutual TLS: who is answered, and over how many connections."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lookout.kit.options import TlsOptions
from lookout.sensor.answers import Shown
from lookout.sensor.server import Server

NAME = "client.example.internal"
# Larger than what TLS sends in one record, and than what a socket takes at once
METRICS = b"some_series 1.0\n" * 40_000


def openssl(*arguments: str, folder: Path) -> None:
    argv = ["openssl", *arguments]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server, a client of the site, and a host that is none."""
    made = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca"),
        folder=made,
    )
    for name, alt, usage in (
        ("server", "IP:127.0.0.1", "serverAuth"),
        ("client", f"DNS:{NAME}", "clientAuth"),
        ("host", "DNS:other.example.internal", "clientAuth"),
    ):
        openssl(
            *("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=x"),
            folder=made,
        )
        extensions = f"subjectAltName={alt}\nextendedKeyUsage={usage}\n"
        (made / f"{name}.ext").write_text(extensions, encoding="ascii")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
            folder=made,
        )
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    tls = TlsOptions(folder / "server.pem", folder / "server.key", folder / "ca.pem", NAME)
    made = Server("127.0.0.1", 0, tls, CollectorRegistry())
    made.shown = Shown(METRICS, lambda: "<html>")
    made.start()
    yield made
    made.stop()


def client(server: Server, folder: Path, who: str) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if who:
        context.load_cert_chain(folder / f"{who}.pem", folder / f"{who}.key")
    return http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)


def ask(asking: http.client.HTTPConnection) -> bytes:
    asking.request("GET", "/metrics")
    return asking.getresponse().read()


def test_a_client_of_the_site_is_answered_over_one_connection(server: Server, folder: Path) -> None:
    asking = client(server, folder, "client")
    for _ in range(20):
        assert ask(asking) == METRICS
        asking.request("GET", "/")
        assert asking.getresponse().read() == b"<html>"
    asking.close()


def test_nobody_else_is_answered_and_who_has_no_certificate_is_told_why(
    server: Server, folder: Path
) -> None:
    for who, why in (("", "certificate required"), ("host", "closed|reset|EOF")):
        asking = client(server, folder, who)
        with pytest.raises(OSError, match=why):
            ask(asking)
        asking.close()
    plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(plain)
    plain.close()
