"""The module `accounts` tells who signs in and how, and never with which password."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from plugins.modules import accounts

HASH = "$y$j9T$canary-salt$canary-hash"
BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIGc0WNPtwPKXTAE1Gfao1hyVbQfWL3WqZ5NEaUmm4kLR"
KEYS = f"""\
# a comment
ssh-ed25519 {BLOB} alice@laptop
from="10.0.0.0/8",command="echo canary ssh-rsa x",expiry-time="20270131" ssh-ed25519 {BLOB}

this is no key
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of a host with three accounts."""
    me, mine = os.getuid(), os.getgid()
    etc = tmp_path / "etc"
    (etc / "sudoers.d").mkdir(parents=True)
    for name, text in {
        "passwd": "root:x:0:0:root:/root:/bin/bash\n"
        f"alice:x:{me}:{mine}:Alice:/home/alice:/bin/bash\n"
        "old:x:2001:2001::/home/old:/bin/sh\n",
        "shadow": f"root:*:19000:0:99999:7:::\nalice:{HASH}:20000:0:99999:7::20500:\nold::::::::\n",
        "group": f"root:x:0:\nown:x:{mine}:\nsudo:x:27:alice,old\n",
        "sudoers": "",
        "sudoers.d/rule": "",
    }.items():
        (etc / name).write_text(text)
        (etc / name).chmod(0o440)
    folder = tmp_path / "home/alice/.ssh"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        path.chmod(0o755)
    (folder / "authorized_keys").write_text(KEYS)
    (folder / "authorized_keys").chmod(0o600)
    return tmp_path


def read(root: Path, *key_files: str) -> dict[str, dict[str, Any]]:
    found = accounts.read_accounts(root, list(key_files) or [".ssh/authorized_keys"])
    return {account["name"]: account for account in found}


def test_passwords_are_told_apart_and_not_told(root: Path) -> None:
    found = read(root)
    assert {name: account["password"] for name, account in found.items()} == {
        "root": "locked",
        "alice": "usable",
        "old": "empty",
    }
    assert (found["alice"]["since"], found["alice"]["until"]) == ("2024-10-04", "2026-02-16")
    assert "canary" not in json.dumps(found)


def test_groups_by_list_and_by_number(root: Path) -> None:
    found = read(root)
    assert found["alice"]["groups"][-2:] == ["own", "sudo"]
    assert found["old"]["groups"] == ["sudo"]


def test_keys_have_fingerprint_comment_and_limits(root: Path) -> None:
    first, second = read(root)["alice"]["keys"]
    assert first["fingerprint"] == second["fingerprint"]
    # ssh-keygen -lf says the same of this key.
    assert first["fingerprint"] == "SHA256:HHBS7/4YLX/GU7H57VjLB+kDaMUx9opFO6G8FyFX0tw"
    assert (first["comment"], first["options"], first["until"]) == ("alice@laptop", [], "")
    assert second["options"] == ["from", "command", "expiry-time"]
    assert second["until"] == "2027-01-31"


@pytest.mark.parametrize("pattern", ["/etc/keys/%u", "%h/keys"])
def test_keys_lie_where_sshd_says(root: Path, pattern: str) -> None:
    place = pattern.replace("%u", "alice").replace("%h", "/home/alice")
    path = root / place[1:]
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"ssh-ed25519 {BLOB} elsewhere\n")
    (key,) = read(root, pattern)["alice"]["keys"]
    assert (key["comment"], key["file"]) == ("elsewhere", place)


def test_a_file_that_others_may_write_is_told(root: Path) -> None:
    assert read(root)["alice"]["wrong"] == []
    (root / "home/alice/.ssh/authorized_keys").chmod(0o606)
    (wrong,) = read(root)["alice"]["wrong"]
    assert "written by everybody (mode 0606)" in wrong
    (root / "home/alice/.ssh").chmod(0o777)
    assert len(read(root)["alice"]["wrong"]) == 2


def test_a_file_of_somebody_else_is_told(root: Path) -> None:
    path = root / "home/alice/.ssh/authorized_keys"
    mine = path.stat()
    assert accounts.writers(path, mine.st_uid, mine.st_gid) == ""
    path.chmod(0o620)
    assert accounts.writers(path, mine.st_uid, mine.st_gid) == ""
    if mine.st_uid == 0:
        os.chown(path, 4711, 4711)
    assert "belongs to another user" in accounts.writers(path, 1, 1)


def test_what_is_no_plain_file_is_not_read(root: Path) -> None:
    path = root / "home/alice/.ssh/authorized_keys"
    path.unlink()
    os.mkfifo(path)
    assert read(root)["alice"]["keys"] == []


def test_files_that_decide_are_those_of_root(root: Path) -> None:
    if os.getuid() == 0:
        assert accounts.read_files(root) == []
    (root / "etc/sudoers.d/rule").chmod(0o666)
    assert str(root / "etc/sudoers.d/rule") in [one["path"] for one in accounts.read_files(root)]
