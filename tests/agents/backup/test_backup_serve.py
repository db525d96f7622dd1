"""The forced command: what is not the key's own is refused, and says why."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lookout.backup import serve, store_options
from lookout.backup.serve import Key, RefusedError
from lookout.backup.store_options import MARKER, StoreOptions

APP1 = Key("app1", ("app2",))


class ReplacedError(Exception):
    """In place of a process that is replaced."""


@pytest.fixture
def options(tmp_path: Path) -> StoreOptions:
    path = tmp_path / "monitoring"
    for host in ("app1", "app2", "app3"):
        (path / host / "locks").mkdir(parents=True)
        (path / host / "config").write_text("sealed")
    (path / MARKER).write_text("store 1\n")
    return StoreOptions(
        instance="store",
        path=path,
        identity="store 1",
        metrics_file=tmp_path / "store.prom",
        state_file=tmp_path / "state.json",
    )


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process would have become."""
    called: list[Any] = []

    def exec_(*arguments: Any) -> None:
        called.extend(arguments)
        raise ReplacedError

    monkeypatch.setattr(os, "execvpe", exec_)
    return called


def test_its_own_repository_can_be_added_to(options: StoreOptions, replaced: list[Any]) -> None:
    with pytest.raises(ReplacedError):
        serve.serve(options, APP1, "serve app1")
    program, argv, environment = replaced
    assert program == "rclone"
    assert argv[:5] == ["rclone", "serve", "restic", "--stdio", "--append-only"]
    assert argv[-1] == f"{options.path}/app1"
    assert "RCLONE_UNION_UPSTREAMS" not in environment


def test_keys_are_added_by_nobody(options: StoreOptions, replaced: list[Any]) -> None:
    keys = {host: options.path / host / "keys" for host in ("app1", "app2")}
    for folder in keys.values():
        folder.mkdir(mode=0o700)
    for host in keys:
        with pytest.raises(ReplacedError):
            serve.serve(options, APP1, f"serve {host}")
    assert replaced
    assert keys["app1"].stat().st_mode & 0o777 == 0o500
    # Whoever only reads changes nothing.
    assert keys["app2"].stat().st_mode & 0o777 == 0o700


def test_one_that_it_tries_can_only_be_read(options: StoreOptions, replaced: list[Any]) -> None:
    with pytest.raises(ReplacedError):
        serve.serve(options, APP1, "serve app2")
    _, argv, environment = replaced
    assert argv[-1] == ":union:"
    upstreams = environment["RCLONE_UNION_UPSTREAMS"].split(" ")
    assert upstreams[0] == f'"{options.path}/app2:ro"'
    assert all(one.endswith(':ro"') for one in upstreams)


@pytest.mark.parametrize(
    "asked",
    [
        *("", "serve", "serve ", "status", "app1", "serve app1 app1", "serve app3", "status app3"),
        *("serve ../app1", "serve app1/../app3", "serve app1/..", "serve .", "serve ..", "serve /"),
        *("serve app1;id", "serve app1 ; id", "serve $(id)", "serve 'app1'", "serve app1\nid"),
        *(
            "SERVE app1",
            "sh -c id",
            "rclone serve restic",
            "scp -t /",
            "internal-sftp",
            "serve APP1",
        ),
        *("serve app1\0", "serve --host app3", "serve *", "serve .lookout-store", "status ../app1"),
    ],
)
def test_all_else_is_refused(options: StoreOptions, replaced: list[Any], asked: str) -> None:
    with pytest.raises(RefusedError):
        serve.serve(options, APP1, asked)
    assert replaced == []


def test_a_key_without_a_host_of_its_own_only_reads(
    options: StoreOptions, replaced: list[Any]
) -> None:
    for asked in ("serve ", "serve", "serve app1"):
        with pytest.raises(RefusedError):
            serve.serve(options, Key("", ("app2",)), asked)
    with pytest.raises(ReplacedError):
        serve.serve(options, Key("", ("app2",)), "serve app2")
    assert replaced[1][-1] == ":union:"


def test_without_the_mount_nothing_is_served(options: StoreOptions, replaced: list[Any]) -> None:
    unmounted = replace(options, mount=options.path)
    with pytest.raises(RefusedError, match="is not mounted"):
        serve.serve(unmounted, APP1, "serve app1")
    assert replaced == []


@pytest.mark.parametrize("marker", [None, "", "store 2\n", "\xff"])
def test_another_disk_is_not_served(
    options: StoreOptions, replaced: list[Any], marker: str | None
) -> None:
    file = options.path / MARKER
    file.unlink()
    if marker is not None:
        file.write_bytes(marker.encode("latin-1"))
    with pytest.raises(RefusedError, match="wrong disk"):
        serve.serve(options, APP1, "serve app1")
    assert replaced == []


def test_a_repository_that_is_missing_is_not_made(
    options: StoreOptions, replaced: list[Any]
) -> None:
    (options.path / "app1/config").unlink()
    with pytest.raises(RefusedError, match="no repository of app1"):
        serve.serve(options, APP1, "serve app1")
    assert replaced == []


def test_the_status_says_what_room_there_is(
    options: StoreOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.serve(options, APP1, "status app1") == 0
    said = json.loads(capsys.readouterr().out)
    size = os.statvfs(options.path)
    assert said["mounted"] is said["repository"] is True
    assert said["size_bytes"] == size.f_blocks * size.f_frsize
    assert 0 < said["free_bytes"] <= said["size_bytes"]
    assert said["trouble"] == ""


def test_the_status_says_what_is_wrong(
    options: StoreOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    (options.path / MARKER).unlink()
    assert serve.serve(options, APP1, "status app1") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["mounted"], said["repository"], said["free_bytes"]) == (False, False, 0)
    assert "wrong disk" in said["trouble"]


@pytest.fixture
def file(options: StoreOptions, tmp_path: Path) -> Path:
    """The configuration as the role writes it."""
    names = ("path", "identity", "metrics_file", "state_file")
    file = tmp_path / "backup_store.yml"
    file.write_text(yaml.safe_dump({name: str(getattr(options, name)) for name in names}))
    return file


def test_a_refusal_is_told_to_the_caller_and_to_the_journal(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("syslog.syslog", lambda _level, line: lines.append(line))
    asked = {"SSH_ORIGINAL_COMMAND": "serve app3"}
    assert serve.main(["--config", str(file), "--host", "app1"], asked) == serve.REFUSED
    assert capsys.readouterr().err == "the store refuses: this key is for app1\n"
    assert lines == ["refused app1 'serve app3': this key is for app1"]


def test_a_wrong_configuration_is_a_refusal(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syslog.syslog", lambda *_: None)
    file.write_text("path: 7\n")
    asked = {"SSH_ORIGINAL_COMMAND": "serve app1"}
    assert serve.main(["--config", str(file), "--host", "app1"], asked) == serve.REFUSED
    assert "configuration is wrong" in capsys.readouterr().err


def test_nobody_who_logs_in_without_a_command_gets_a_shell(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syslog.syslog", lambda *_: None)
    assert serve.main(["--config", str(file), "--host", "app1"], {}) == serve.REFUSED


def test_a_folder_is_no_mount(options: StoreOptions) -> None:
    assert "is not mounted" in store_options.trouble(replace(options, mount=options.path.parent))
    assert store_options.trouble(replace(options, mount=Path("/proc"))) == ""
