"""restic is understood in the forms of both releases, and only its 0 is a success."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from backup_stage import HOST, Stage

from lookout.backup import table
from lookout.backup.options import RunOptions, Store
from lookout.backup.reach import (
    Client,
    Status,
    StoreError,
    UnreachableError,
    patiently,
    status_of,
)
from lookout.backup.restic import (
    Repository,
    ResticError,
    passes,
    saved_of,
    snapshots_of,
    ssh,
    way_by_ssh,
)

STORE = Store("store", "lookout-store", Path("/etc/lookout/backup.ssh/known_hosts"), 2222)
ID = "3d4f41ffc53ed02679db8b7a87b58d0d8ab3d1d648c9fefbf8ea9cc2b0515248"


def fake(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, script: str) -> None:
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("said", ["3d4f41ff", ID])
def test_the_summary_is_found_among_the_lines(said: str) -> None:
    summary = {"message_type": "summary", "data_added": 357, "snapshot_id": said}
    text = f'{{"message_type":"status"}}\nno json\n{json.dumps(summary)}\n'
    assert saved_of(text).snapshot == said
    assert saved_of(text).added_bytes == 357


def test_a_success_without_a_snapshot_is_none() -> None:
    with pytest.raises(ResticError, match="names no snapshot"):
        saved_of('{"message_type":"status"}\n')


def test_snapshots_tell_their_part_size_and_what_is_good() -> None:
    raw = [
        {"id": "b" * 64, "time": "2026-11-26T23:00:02.5+01:00", "tags": ["record", f"good={ID}"]},
        {
            "id": ID,
            "time": "2026-11-26T01:47:19.260276435Z",
            "hostname": "app1",
            "tags": ["part=shop", "bytes=12"],
        },
        {"id": "c" * 64, "time": "2026-11-27T00:00:00Z", "hostname": "app1"},
    ]
    part, record, other = snapshots_of(json.dumps(raw))
    assert (part.part, part.bytes, part.host, part.good) == ("shop", 12, "app1", ())
    assert (record.part, record.bytes, record.good) == ("", None, (ID,))
    assert (other.tags, other.part) == ((), "")
    assert snapshots_of("null") == []


def test_what_a_broken_into_host_adds_hides_nothing() -> None:
    raw = [
        {"id": "b" * 64, "time": "0000-01-01T00:00:00Z", "tags": ["part=shop"]},
        {"id": "c" * 64, "time": "2026-11-26T01:00:00Z", "tags": ["part=shop", "bytes=\u00b2"]},
        {"id": ID, "time": "2026-11-26T01:47:19Z", "tags": ["part=shop", "bytes=12"]},
    ]
    assert [(one.id[0], one.bytes) for one in snapshots_of(json.dumps(raw))] == [
        ("c", None),
        (ID[0], 12),
    ]


@pytest.mark.parametrize(
    ("stderr", "why"),
    [
        ("Fatal: wrong password or no key found\n", "Fatal: wrong password or no key found"),
        (
            '{"message_type":"exit_error","code":10,"message":"Fatal: no repository"}\n',
            "Fatal: no repository",
        ),
        (
            '{"message_type":"error","error":{"Op":"open","Path":"x","Err":13},"during":"archival",'
            '"item":"/x"}\n',
            '/x {"Op": "open"',
        ),
        (
            '{"message_type":"error","error":{"message":"permission denied"},"item":"/x"}\n',
            "/x permission denied",
        ),
        ("", "it said nothing"),
    ],
)
def test_why_it_failed_is_one_line(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, stderr: str, why: str
) -> None:
    fake(monkeypatch, stage.root, "restic", f"printf %s {shlex.quote(stderr)} >&2; exit 3")
    repository = Repository(stage.options, HOST, [])
    with pytest.raises(ResticError) as caught:
        repository.backup(stage.root, ("part=shop",), 20)
    assert caught.value.status == 3
    assert f"restic backup ended with 3: {why}" in str(caught.value)


def test_secrets_are_in_files_and_the_way_is_by_ssh_to_one_command(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, stage.root, "restic", f'printf "%s\\n" "$@" > {stage.root}/said; env >&2')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    options = replace(stage.options, store=STORE, limit_upload_kib=100)
    done = Repository(options, HOST).run("snapshots", timeout_seconds=20)
    assert f"RESTIC_PASSWORD_FILE=/run/credentials/x/password_{HOST}" in done.stderr
    said = (stage.root / "said").read_text().splitlines()
    assert said[-3:] == ["--limit-upload", "100", "snapshots"]
    assert said[:2] == ["-o", f"rclone.program={shlex.join(ssh(STORE))}"]
    assert said[2:6] == ["-o", "rclone.args=serve", "--repo", f"rclone:{HOST}"]
    assert way_by_ssh(STORE, HOST) == said[:6]


def test_a_key_of_who_calls_by_hand_is_the_one_that_the_host_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "/etc/lookout/backup.ssh/key" in ssh(STORE)
    assert ssh(STORE, "status app1")[-2:] == ["lookout-store@store", "status app1"]


def test_restic_that_hangs_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, stage.root, "restic", "exec sleep 60")
    with pytest.raises(ResticError, match="took longer than 1 s") as caught:
        Repository(stage.options, HOST, []).run("check", timeout_seconds=0.6)
    assert caught.value.status == -1


@pytest.mark.parametrize(
    ("said", "again"),
    [
        (
            "Fatal: unable to open repository at rclone:app1: error talking HTTP to rclone: "
            'Get "http://localhost/file-1": unexpected EOF',
            True,
        ),
        ("ssh: connect to host store port 22: Connection refused", True),
        ("unable to create lock in backend: repository is already locked exclusively by", True),
        ("Fatal: wrong password or no key found", False),
        ("Fatal: unable to save snapshot: no space left on device", False),
    ],
)
def test_what_may_pass_is_tried_again(said: str, again: bool) -> None:
    assert passes(ResticError(said, 1)) == again
    assert not passes(ValueError(said))


def test_it_is_tried_again_after_each_pause_and_then_given_up() -> None:
    slept: list[float] = []

    def fail() -> None:
        raise UnreachableError("no")

    def may_pass(error: Exception) -> bool:
        return isinstance(error, UnreachableError)

    with pytest.raises(UnreachableError):
        patiently(fail, may_pass, (5, 20), slept.append)
    assert slept == [5, 20]
    answers = iter([UnreachableError("no"), None])

    def mends() -> str:
        if error := next(answers):
            raise error
        return "done"

    assert patiently(mends, may_pass, (5, 20), slept.append) == "done"
    assert slept == [5, 20, 5]

    def wrong() -> None:
        raise StoreError("refused")

    with pytest.raises(StoreError):
        patiently(wrong, may_pass, (5, 20), slept.append)
    assert slept == [5, 20, 5]


ANSWER = '{"mounted": true, "free_bytes": 1, "size_bytes": 2, "repository": false}'


@pytest.mark.parametrize(
    ("script", "error", "why"),
    [
        ("echo 'Connection refused' >&2; exit 255", UnreachableError, "cannot be reached: Conn"),
        ("echo 'x@y: Permission denied (publickey).' >&2; exit 255", StoreError, "not take this"),
        ("echo 'Host key verification failed.' >&2; exit 255", StoreError, "or is not it"),
        ("echo 'app1 may not' >&2; exit 1", StoreError, "refused: app1 may not"),
        ("echo hello", StoreError, "answer cannot be read: 'hello"),
        ("echo '{}'", StoreError, "answer cannot be read"),
    ],
)
def test_a_store_that_does_not_answer_as_it_should_is_told_apart(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception], why: str
) -> None:
    fake(monkeypatch, stage.root, "ssh", script)
    with pytest.raises(error, match=why) as caught:
        Client(stage.options).status(HOST)
    assert type(caught.value) is error


def test_a_store_that_is_back_after_a_pause_is_as_good(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = stage.root / "once"
    script = f"[ -e {once} ] || {{ touch {once}; exit 255; }}; echo '{ANSWER}'"
    fake(monkeypatch, stage.root, "ssh", script)
    options: RunOptions = stage.options
    assert Client(options, (0.1,)).status(HOST) == Status(True, 1, 2, False) == status_of(ANSWER)


def test_the_list_shows_parts_with_date_size_and_whether_they_are_good() -> None:
    raw = [
        {"id": ID, "time": "2026-11-26T23:00:05Z", "tags": ["part=shop", "bytes=5242880"]},
        {"id": "c" * 64, "time": "2026-11-26T23:01:05Z", "tags": ["part=web"]},
        {"id": "b" * 64, "time": "2026-11-26T23:02:05Z", "tags": ["record", f"good={ID}"]},
    ]
    shown = table.snapshots(snapshots_of(json.dumps(raw))).splitlines()
    assert [line.split() for line in shown[1:]] == [
        ["2026-11-26", "23:00:05", "shop", "yes", "5.0", "MiB", ID[:8]],
        ["2026-11-26", "23:01:05", "web", "no", "?", "cccccccc"],
    ]
    assert len(table.snapshots(snapshots_of(json.dumps(raw)), ["web"]).splitlines()) == 2
