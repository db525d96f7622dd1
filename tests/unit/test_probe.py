"""A check says what it found, and none of them ends the run."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from plugins.modules import probe

UP = [
    {"metric": {"instance": "web", "job": "node"}, "value": [0, "0"]},
    {"metric": {"instance": "mon", "job": "node"}, "value": [0, "0"]},
]
# What the Prometheus of these tests answers to a query.
RESULTS: dict[str, object] = {
    "up == 0": UP,
    "many": UP * 4,
    'none{a="b"}': [],
    "scalar": [1700000000, "1"],
}


class Handler(http.server.BaseHTTPRequestHandler):
    """The services that are probed."""

    asked: list[str]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.asked.append(path)
        if path == "/garbled":
            self.wfile.write(b"SSH-2.0-not-http\r\n")
            return
        status, body = 200, b"ready\xff\n"
        if path == "/late":
            status = 200 if self.asked.count(path) > 1 else 503
        elif path == "/broken":
            status = 500
        elif path == "/api/v1/query":
            result = RESULTS[urllib.parse.parse_qs(query)["query"][0]]
            body = json.dumps({"status": "success", "data": {"result": result}}).encode()
        elif path == "/list/api/v1/query":
            body = b"[]"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.asked = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_url_that_answers_holds(url: str) -> None:
    assert probe.ask({"url": f"{url}/ok"}) == (True, f"{url}/ok")


def test_url_has_to_contain_the_text(url: str) -> None:
    assert probe.ask({"url": f"{url}/ok", "contains": "ready"}) == (True, f"{url}/ok")
    assert probe.ask({"url": f"{url}/ok", "contains": "steady"}) == (
        False,
        f"no 'steady' in {url}/ok",
    )


@pytest.mark.parametrize(
    ("path", "detail"), [("/broken", "HTTP Error 500"), ("/garbled", "SSH-2.0-not-http")]
)
def test_url_that_answers_otherwise_does_not_hold(url: str, path: str, detail: str) -> None:
    good, said = probe.ask({"url": url + path})
    assert not good
    assert detail in said


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("http://127.0.0.1:1/", "Connection refused"),
        ("127.0.0.1:1", "unknown url type"),
        ("http://no-such-host.invalid/", "urlopen error"),
    ],
)
def test_unreachable_url_does_not_hold(address: str, detail: str) -> None:
    good, said = probe.ask({"url": address})
    assert not good
    assert detail in said


@pytest.mark.parametrize(
    ("argv", "contains", "answer"),
    [
        (["echo", "one\ntwo"], "", (True, "one")),
        (["echo", 1], "1", (True, "1")),
        (["true"], "", (True, "")),
        (["echo", "one"], "two", (False, "status 0: one")),
        (["false"], "", (False, "status 1: ")),
        (["sh", "-c", "echo a >&2; echo b >&2; exit 4"], "", (False, "status 4: b")),
        # What stands on standard error is no answer.
        (["sh", "-c", "echo yes >&2"], "yes", (False, "status 0: yes")),
    ],
)
def test_command(argv: list[object], contains: str, answer: tuple[bool, str]) -> None:
    assert probe.ask({"argv": argv, "contains": contains}) == answer


def test_command_that_is_missing_does_not_hold() -> None:
    good, said = probe.ask({"argv": ["no-such-command"]})
    assert not good
    assert "no-such-command" in said


@pytest.mark.parametrize(
    ("promql", "some", "answer"),
    [
        ('none{a="b"}', False, (True, "0 series")),
        ('none{a="b"}', True, (False, "0 series")),
        ("up == 0", True, (True, "2 series")),
        ("up == 0", False, (False, "2 series: instance=web job=node; instance=mon job=node")),
    ],
)
def test_promql(url: str, promql: str, some: bool, answer: tuple[bool, str]) -> None:
    assert probe.ask({"promql": promql, "server": url, "some": some}) == answer


def test_promql_shows_five_series_at_most(url: str) -> None:
    good, said = probe.ask({"promql": "many", "server": url})
    assert not good
    assert said.startswith("8 series: ")
    assert said.count("instance=") == 5


@pytest.mark.parametrize(
    "check",
    [
        {"promql": "up", "server": "{url}/ok"},
        {"promql": "up", "server": "{url}/list"},
        {"promql": "scalar", "server": "{url}"},
        {"promql": "up"},
        {},
        {"argv": None},
        {"url": "{url}/ok", "contains": 1},
    ],
    ids=["no JSON", "other JSON", "scalar", "no server", "empty", "no argv", "number"],
)
def test_wrong_check_or_answer_does_not_end_the_run(url: str, check: dict[str, Any]) -> None:
    check = {k: v.replace("{url}", url) if isinstance(v, str) else v for k, v in check.items()}
    good, said = probe.ask(check)
    assert not good
    assert said


# --- as Ansible calls it ---


def rows(
    capsys: pytest.CaptureFixture[str], within_seconds: int, *checks: dict[str, Any]
) -> list[dict[str, Any]]:
    arguments = {"checks": list(checks), "within_seconds": within_seconds}
    with patch_module_args(arguments), pytest.raises(SystemExit) as end:
        probe.main()
    assert end.value.code == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["changed"] is False
    found: list[dict[str, Any]] = shown["rows"]
    return found


def test_every_check_is_a_row(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"name": "wrong", "argv": ["false"]}
    good = {"name": "good", "url": f"{url}/ok"}
    assert rows(capsys, 0, wrong, good) == [
        {"name": "wrong", "ok": False, "detail": "status 1: "},
        {"name": "good", "ok": True, "detail": f"{url}/ok"},
    ]


def test_check_that_holds_late_is_waited_for(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows(capsys, 10, {"name": "late", "url": f"{url}/late"})[0]["ok"]
    assert Handler.asked == ["/late", "/late"]


def test_check_has_its_time_and_no_more(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert not rows(capsys, 1, {"name": "broken", "url": f"{url}/broken"})[0]["ok"]
    assert 1 <= time.monotonic() - started < 5
    assert len(Handler.asked) > 1


def test_checks_have_their_time_together(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = {"name": "broken", "url": f"{url}/broken"}
    started = time.monotonic()
    found = rows(capsys, 2, broken, {"name": "late", "url": f"{url}/late"}, broken, broken)
    assert time.monotonic() - started < 5
    assert [row["ok"] for row in found] == [False, True, False, False]
    assert Handler.asked.count("/late") == 2, "what holds is not asked again"


def test_check_without_time_is_asked_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not rows(capsys, 0, {"name": "broken", "url": f"{url}/broken"})[0]["ok"]
    assert Handler.asked == ["/broken"]
