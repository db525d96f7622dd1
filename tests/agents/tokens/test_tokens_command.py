"""`lookout-token`, as it is called."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lookout.tokens import __main__ as command
from lookout.tokens import slots, storage


class Called:
    """The command with its files."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file, self.used, self._capsys = folder / "tokens.json", folder / "used.json", capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        status = command.main(["--file", str(self.file), "--used", str(self.used), *arguments])
        printed = self._capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Called:
    return Called(tmp_path, capsys)


def test_a_token_is_made_shown_once_rotated_and_revoked(call: Called) -> None:
    status, token, said = call("create", "grafana", "--scope", "read", "--scope", "train")
    assert status == 0
    assert "of grafana, read, train, until 20" in said
    held = storage.read(call.file)
    assert slots.find(held, token.strip()) == held.tokens[0]
    status, other, _ = call("rotate", "grafana", "--hours", "2")
    assert status == 0
    rows = json.loads(call("list", "--json")[1])
    assert [row["state"] for row in rows] == ["replaced", "valid"]
    shown = call("list")[1]
    assert shown.splitlines()[0].split() == [
        "ID", "CLIENT", "SCOPES", "STATE", "ENDS", "(UTC)", "FIRST", "USED", "(UTC)",
    ]  # fmt: skip
    for text in (call.file.read_text(), shown):
        assert token.strip() not in text
        assert other.strip() not in text
    assert call("revoke", "grafana")[1].count("revoked") == 2
    assert storage.read(call.file).tokens == ()


def test_a_token_goes_into_a_file_where_it_is_wanted_there(call: Called, tmp_path: Path) -> None:
    status, shown, _ = call("create", "robot", "--output", str(tmp_path / "token"))
    assert (status, shown) == (0, "")
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    token = (tmp_path / "token").read_text().strip()
    assert slots.find(storage.read(call.file), token) is not None


def test_a_token_that_cannot_be_handed_over_changes_nothing(call: Called, tmp_path: Path) -> None:
    call("create", "robot")
    before = call.file.read_bytes()
    status, _, said = call("rotate", "robot", "--output", str(tmp_path / "missing" / "token"))
    assert status == 2
    assert "nothing is changed" in said
    assert call.file.read_bytes() == before


def test_a_token_that_is_not_kept_is_not_handed_over(
    call: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    call("create", "robot")
    monkeypatch.setattr(storage, "write", full)
    status, _, said = call("rotate", "robot", "--output", str(tmp_path / "token"))
    assert (status, "No space left" in said) == (2, True)
    assert not (tmp_path / "token").exists()


def test_a_rotation_that_was_killed_is_made_again(
    call: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token lies there and is none; the next one takes its place, and ends nothing in use."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    _, used, _ = call("create", "robot")
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            call("rotate", "robot", "--output", str(tmp_path / "token"))
    for _ in range(2):
        assert call("rotate", "robot", "--output", str(tmp_path / "token"))[0] == 0
        held = storage.read(call.file)
        new = slots.find(held, (tmp_path / "token").read_text().strip())
        assert held.tokens == (slots.find(held, used.strip()), new)


def test_a_broken_file_is_left_as_it_is(call: Called) -> None:
    call.file.write_text("{")
    status, _, said = call("create", "robot")
    assert status == 2
    assert "nothing is changed" in said
    assert call.file.read_text() == "{"


@pytest.mark.parametrize(
    "arguments",
    [["create"], ["create", "x", "--days", "0"], ["create", "x", "--days", "nan"],
     ["rotate", "x", "--hours", "-1"], ["create", "x", "--scope", "all"], []],
)  # fmt: skip
def test_wrong_calls_say_what_is_right(call: Called, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("shown", [">/dev/full", ">&-", "| true"])
@pytest.mark.parametrize("verb", ["create", "rotate"])
def test_a_token_that_nobody_sees_is_none(call: Called, verb: str, shown: str) -> None:
    call("create", "robot")
    before = call.file.read_bytes()
    client = {"create": "other", "rotate": "robot"}[verb]
    command = (
        f"set -o pipefail; {{ sleep 0.1; {sys.executable} -m lookout.tokens --file {call.file}"
        f" --used {call.used} {verb} {client} ; }} {shown}"
    )
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("lookout-token: nothing is changed, as the token cannot be shown")
    assert done.stderr.count("\n") == 1
    assert call.file.read_bytes() == before


def test_commands_side_by_side_lose_no_token(tmp_path: Path) -> None:
    base = [sys.executable, "-m", "lookout.tokens", "--file", str(tmp_path / "tokens.json"),
            "--used", str(tmp_path / "used.json")]  # fmt: skip
    running = [
        subprocess.Popen([*base, "create", f"client-{number}"], stdout=subprocess.DEVNULL)
        for number in range(6)
    ]
    assert [one.wait(60) for one in running] == [0] * 6
    assert len(storage.read(tmp_path / "tokens.json").tokens) == 6
