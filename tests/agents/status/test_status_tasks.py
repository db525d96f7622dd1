"""Running tasks: time limits, forms, what is told, what is kept out of messages."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lookout.status import history, notify, run_task, runner, storage
from lookout.status.options import NotifyOptions, StatusOptions, TaskOptions
from lookout.status.records import Change
from lookout.status.registry import KINDS, Context, Failed, Outcome
from lookout.status.tasks import heartbeat, rabbitmq_access, web, website_login


class Reports:
    """Takes what would go to Sentry."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str, **_: Any) -> None:
        self.messages.append(text)

    def exception(self, error: BaseException, *_: Any) -> None:
        self.messages.append(repr(error))

    def flush(self, _timeout_seconds: float) -> bool:
        return True


def with_task(options: StatusOptions, run: Any, **entry: Any) -> StatusOptions:
    """The options with one task that does what `run` does."""

    class Trial:
        def __init__(self, **_: Any) -> None: ...

        def run(self, context: Context) -> Outcome:
            answer: Outcome = run(context)
            return answer

    KINDS["trial"] = dataclass(frozen=True)(Trial)
    return replace(options, tasks={"trial": TaskOptions("trial", **entry)})


@pytest.fixture(autouse=True)
def _forget() -> Any:
    yield
    KINDS.pop("trial", None)


# --- a process of its own ---


def test_what_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    def hang() -> NoReturn:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (tmp_path / "pid").write_text(str(child.pid), encoding="ascii")
        while True:
            time.sleep(1)

    began = time.monotonic()
    with pytest.raises(runner.Ended, match="it was ended after 1 seconds without an answer"):
        runner.within(1, hang)
    assert time.monotonic() - began < 4
    pid = int((tmp_path / "pid").read_text(encoding="ascii"))
    until = time.monotonic() + 5
    state = "R"
    while state not in "ZX" and time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2]
        except FileNotFoundError:
            state = "X"
    assert state in "ZX"


def test_a_process_that_dies_is_reported() -> None:
    with pytest.raises(runner.Ended, match="killed by SIGKILL"):
        runner.within(5, lambda: os.kill(os.getpid(), 9))
    with pytest.raises(runner.Ended, match="exit status 7"):
        runner.within(5, lambda: os._exit(7))
    assert runner.within(5, lambda: {"a": [1, None]}) == {"a": [1, None]}


# --- a task ---


@pytest.mark.parametrize(
    ("run", "ok", "message"),
    [
        (lambda _: Outcome(True, "good"), True, "good"),
        (lambda _: Outcome(False, "bad"), False, "bad"),
        (lambda _: (_ for _ in ()).throw(Failed("no such text")), False, "no such text"),
        (lambda _: 1 / 0, False, "ZeroDivisionError: division by zero"),
        (lambda _: None, False, "AttributeError: 'NoneType' object has no attribute 'ok'"),
        (lambda _: os._exit(3), False, "its process died: exit status 3"),
    ],
)
def test_whatever_a_class_does_is_a_run(
    options: StatusOptions, run: Any, ok: bool, message: str
) -> None:
    done = run_task.run(with_task(options, run), "trial")
    assert (done.ok, done.message) == (ok, message)


def test_a_task_that_hangs_or_is_slow_has_failed(options: StatusOptions) -> None:
    hangs = with_task(options, lambda _: time.sleep(60), timeout_seconds=1.0)
    assert run_task.run(hangs, "trial").message == "it was ended after 1 seconds without an answer"
    entry = TaskOptions("trial", slow_seconds=0.5)
    assert run_task.judge(entry, 0.4, True, "good") == (True, "good")
    assert run_task.judge(entry, 0.6, True, "x")[0] is False


def test_a_secret_does_not_get_into_a_message(
    options: StatusOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").write_text("canary\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    def fail(context: Context) -> Outcome:
        raise ValueError(f"https://probe:{context.credential('shop')}@shop/")

    done = run_task.run(with_task(options, fail), "trial")
    assert done.message == "ValueError: https://probe:***@shop/"
    with pytest.raises(Failed, match="none is not there"):
        Context("x", tmp_path, 1).credential("none")


def test_people_and_sentry_are_told_of_changes_alone(
    options: StatusOptions, database: Path
) -> None:
    reports, told, results = Reports(), [], [True, False, False, True]

    def tell(_: StatusOptions, change: Change) -> None:
        told.append(change.ok)

    for result in results:
        trial = with_task(options, lambda _, ok=result: Outcome(ok, "" if ok else "gone"))
        assert run_task.main(trial, "trial", reports, tell) == 0  # type: ignore[arg-type]
    assert reports.messages == ["Trial fails: gone", "Trial works again"]
    assert told == [False, True]
    with closing(storage.reader(database)) as connection:
        runs = history.runs_of(connection, "trial", time.time())
    assert [run.ok for run in runs][::-1] == results


def test_a_run_that_cannot_be_written_is_an_error(
    options: StatusOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trial = replace(with_task(options, lambda _: Outcome(True)), database=tmp_path / "no/status.db")
    assert run_task.main(trial, "trial", Reports()) == 1  # type: ignore[arg-type]
    assert "cannot be written" in caplog.text
    assert run_task.main(trial, "other", Reports()) == 2  # type: ignore[arg-type]


def test_a_run_into_a_damaged_history_is_kept_in_the_new_one(
    options: StatusOptions, database: Path
) -> None:
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    database.write_bytes(b"no database" * 1000)
    trial = with_task(options, lambda _: Outcome(True, "good"))
    assert run_task.main(trial, "trial", Reports(), lambda *_: None) == 0  # type: ignore[arg-type]
    with closing(storage.reader(database)) as connection:
        assert len(history.runs_of(connection, "trial", time.time())) == 1
    assert len(storage.damaged(database)) == 1


# --- messages ---


def test_a_message_is_short_and_leads_to_the_page(options: StatusOptions) -> None:
    options = replace(options, notify=NotifyOptions(page_url="https://gw/status/"))
    title, body = notify.words(options, Change("web", False, "no answer in time"))
    assert (title, body) == ("Website fails", "no answer in time\nhttps://gw/status/task/web")
    title, body = notify.words(options, Change("web", True, "gone", 7200))
    assert (title, body.splitlines()[0]) == ("Website works again", "after 2 h: gone")


def test_a_url_that_is_not_reached_is_logged_by_its_number(
    options: StatusOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "urls").write_text("# on call\njson://a:canary@x\n\nmail://y\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(notify, "send", lambda urls, *_: [False, len(urls) == 2])
    caplog.set_level(logging.INFO)
    options = replace(options, notify=NotifyOptions(urls_credential="urls"))
    notify.tell(options, Change("web", False, "gone"))
    assert "not told: URL 1 of 2" in caplog.text
    assert "told 1 of 2" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (120, "2 min"), (7200, "2 h"), (259_200, "3 days")]
)
def test_a_span_of_time_reads_well(seconds: float, said: str) -> None:
    assert notify.duration(seconds) == said


# --- kinds ---

PAGE = """<form action="/search"><input name="q"></form>
<form method="post" action="/session"><input type="hidden" name="csrf" value="a&amp;b">
<input type="email" name="mail" value=""><input type=password name=secret>
<input type="checkbox" name="stay" value="1"><input type="checkbox" name="terms" value="1" checked>
<input type="submit" name="go" value="Go"></form><input name="outside">"""


def test_a_form_is_sent_as_a_browser_sends_it() -> None:
    form = website_login.sign_in_form(
        web.Answer("https://x/login", 200, "text/html", PAGE.encode())
    )
    assert form.fields == {"csrf": "a&b", "mail": "", "secret": "", "terms": "1"}
    assert form.first("text", "email") == "mail"
    assert website_login.target("https://x/login", form.action) == "https://x/session"
    assert website_login.target("https://x/login", "") == "https://x/login"


@pytest.mark.parametrize("action", ["https://evil/", "//evil/x", "http://x/session"])
def test_a_password_is_not_sent_to_another_host(action: str) -> None:
    with pytest.raises(Failed, match="the password was not sent"):
        website_login.target("https://x/login", action)


def test_a_page_without_a_form_says_so() -> None:
    with pytest.raises(Failed, match="no form with a password"):
        website_login.sign_in_form(
            web.Answer("https://x/", 200, "text/html", b"<form method=post>")
        )


def test_a_heartbeat_grows_old() -> None:
    waits = heartbeat.Heartbeat(max_age_minutes=10)
    assert waits.judge(-3).ok
    with pytest.raises(Failed, match="lies ahead"):
        waits.judge(-3600)
    assert waits.judge(599).ok
    with pytest.raises(Failed, match="no heartbeat for 11 minutes, 10 are allowed"):
        waits.judge(660)


def test_a_heartbeat_that_never_came_is_missed_only_after_its_time(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context("monitoring", database, 10)
    assert heartbeat.Heartbeat().run(context) == Outcome(True, "none has come yet")
    later = time.time() + 3600
    monkeypatch.setattr("time.time", lambda: later)
    with pytest.raises(Failed, match="for 60 minutes"):
        heartbeat.Heartbeat().run(context)


def test_errors_of_the_broker_are_told_in_words() -> None:
    assert rabbitmq_access.of_broker(OSError(111, "Connection refused")) == "Connection refused"
    wrapped = RuntimeError(RuntimeError(OSError(111, "Connection refused")))
    assert rabbitmq_access.of_broker(wrapped) == "Connection refused"
    assert rabbitmq_access.of_broker(RuntimeError()) == "RuntimeError"
    # As pika's errors of the phases of a connection
    phase = RuntimeError()
    vars(phase)["exception"] = OSError(111, "Connection refused")
    assert rabbitmq_access.of_broker(phase) == "Connection refused"
