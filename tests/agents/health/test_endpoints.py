"""Endpoints, asked over a real connection."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lookout.health.endpoints import Answer, Tls, fetch, problem
from lookout.health.results import CheckError


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status that is the path."""

    def do_GET(self) -> None:
        if self.path == "/hang":
            time.sleep(1)
        self.send_response(int(self.path[1:4]) if self.path[1:4].isdigit() else 200)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        # The one who asked may have gone.
        with suppress(ConnectionError):
            self.wfile.write(b"asked for " + self.path.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def ask(url: str, limit_seconds: float = 5) -> Answer:
    return fetch(url, lambda: Tls().context("system"), limit_seconds)


def test_an_answer_is_read_with_its_status(url: str) -> None:
    answer = ask(f"{url}/a?b=c")
    assert (answer.status, answer.body) == (200, b"asked for /a?b=c")
    assert 0 < answer.seconds < 5
    assert ask(url).body == b"asked for /"


def test_a_redirection_is_an_answer(url: str) -> None:
    answer = ask(f"{url}/302")
    assert answer.status == 302
    assert problem(answer, (200,), "") == "it answered 302, not 200"
    assert problem(answer, (200, 302), "asked") == ""


def test_what_is_wrong_is_said() -> None:
    answer = Answer(200, b"x" * 100, 0.1)
    assert problem(answer, (204, 301), "") == "it answered 200, not 204 or 301"
    assert problem(answer, (200,), "ok") == f"its answer lacks 'ok'; it begins with '{'x' * 60}'"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:1/", "it does not answer: .*refused"),
        ("http://nowhere.invalid/", "nowhere.invalid is not known"),
    ],
)
def test_who_does_not_answer(address: str, said: str) -> None:
    with pytest.raises(CheckError, match=said):
        ask(address)


def test_who_does_not_answer_in_time(url: str) -> None:
    with pytest.raises(CheckError, match=r"it did not answer within 0\.1 s"):
        ask(f"{url}/hang", 0.1)


def test_who_speaks_no_tls(url: str) -> None:
    with pytest.raises(CheckError, match="it does not answer"):
        ask(url.replace("http:", "https:"))


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="ca_file is not set"):
        Tls().context("site")
    with pytest.raises(CheckError, match="files of tls cannot be used"):
        Tls(ca_file=tmp_path / "gone.pem").context("site")
    (tmp_path / "client.pem").write_text("no certificate")
    tls = Tls(certificate=tmp_path / "client.pem", key=tmp_path / "client.pem")
    with pytest.raises(CheckError, match="files of tls cannot be used"):
        tls.context("site", verify=False)
    # A host that is no client of the site has no such file.
    absent = Tls(certificate=tmp_path / "gone.pem", key=tmp_path / "gone.key")
    assert absent.context("site", verify=False).verify_mode == ssl.CERT_NONE
