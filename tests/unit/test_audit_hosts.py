"""Accounts, sudo and sshd: each fault is flagged, and its absence is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugins.filter.audit_hosts import FilterModule

filters = FilterModule().filters()
SAID = ["admin"]
NOLOGIN = {"shell": "/usr/sbin/nologin"}
KEY = {"fingerprint": "SHA256:abc", "comment": "me", "options": [], "until": "", "file": "/k"}


def account(name: str, **about: Any) -> dict[str, Any]:
    return {
        "name": name,
        "uid": 1000,
        "shell": "/bin/bash",
        "password": "usable",
        "since": "2026-01-02",
        "until": "",
        "groups": [],
        "keys": [],
        "wrong": [],
        **about,
    }


def accounts(*found: dict[str, Any], said: list[str] = SAID) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = filters["audit_accounts"]({"accounts": found, "files": []}, said)
    return rows


def flagged(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows if row.get("finding")]


def test_who_signs_in_is_shown_with_the_means() -> None:
    rows = accounts(
        account("admin", keys=[KEY, {**KEY, "options": ["from"]}]),
        account("robot", password="locked", keys=[KEY]),
        account("locked", password="locked"),
        account("daemon", **NOLOGIN, keys=[KEY]),
        account("pip", shell=""),
    )
    assert [(row["kind"], row["name"], row["may"]) for row in rows] == [
        ("account", "admin", "signs in with a password and 2 keys"),
        ("ssh key", "admin SHA256:abc", "signs in as admin; me"),
        ("ssh key", "admin SHA256:abc", "signs in as admin, limited by from; me"),
        ("account", "robot", "signs in with 1 key"),
        ("ssh key", "robot SHA256:abc", "signs in as robot; me"),
    ]
    assert flagged(rows) == []
    assert [row["declared"] for row in rows if row["kind"] == "account"] == [True, None]


@pytest.mark.parametrize("said", [SAID, []])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"uid": 0}, "root by another name"),
        ({"uid": 0, "shell": "/bin/false"}, "root by another name"),
        ({"password": "empty"}, "password is empty"),
        ({"wrong": ["/k may be written by everybody"]}, "/k may be written by everybody"),
    ],
)
def test_what_is_wrong_on_any_host(said: list[str], fault: dict[str, Any], words: str) -> None:
    row = accounts(account("eve", **fault), said=said)[0]
    assert words in row["finding"]
    assert flagged(accounts(account("eve"), account("root", uid=0), said=said)) == []


def test_members_of_groups_of_root_are_compared() -> None:
    found = [
        account("admin", groups=["sudo"]),
        account("eve", groups=["docker", "users"]),
        account("syslog", **NOLOGIN, groups=["adm"]),
        account("root", uid=0, groups=["root"]),
    ]
    rows = [row for row in accounts(*found) if row["kind"] == "group"]
    assert [(row["name"], row["declared"]) for row in rows] == [
        ("admin in sudo", True),
        ("eve in docker", False),
        ("syslog in adm", None),
    ]
    assert flagged(rows) == ["eve in docker"]


def test_without_administrators_nobody_is_compared_and_the_report_says_so() -> None:
    rows = accounts(account("eve", groups=["sudo"]), said=[])
    assert flagged(rows) == []
    assert rows[-1]["name"] == "base_administrators"
    assert "compared with nothing" in rows[-1]["may"]
    assert "inventory" not in [row["kind"] for row in accounts(account("eve"))]


def test_files_that_others_may_write_are_flagged() -> None:
    files = [{"path": "/etc/passwd", "wrong": "/etc/passwd may be written by everybody"}]
    rows = filters["audit_accounts"]({"accounts": [], "files": files}, SAID)
    assert flagged(rows) == ["/etc/passwd"]


def sudo(
    *specs: dict[str, Any], said: list[str] = SAID, found: Any = (), **more: Any
) -> list[dict[str, Any]]:
    answer = {"rc": 0, "stdout": json.dumps({"User_Specs": specs, **more})}
    rows: list[dict[str, Any]] = filters["audit_sudo"](answer, list(found), said)
    return rows


def spec(user: dict[str, Any], command: str = "ALL", **options: bool) -> dict[str, Any]:
    return {
        "User_List": [user],
        "Cmnd_Specs": [
            {
                "runasusers": [{"username": "ALL" if command == "ALL" else "root"}],
                "Options": [{name: value} for name, value in options.items()],
                "Commands": [{"command": command}, {"command": "/bin/sh", "negated": True}],
            }
        ],
    }


def test_rules_of_sudo_are_shown_and_compared() -> None:
    rows = sudo(
        spec({"username": "root"}),
        spec({"username": "admin"}, authenticate=False),
        spec({"username": "deploy"}, "/bin/restart", authenticate=False, setenv=True),
        spec({"userid": 1007}),
        found=[account("eve", uid=1007)],
    )
    assert [(row["name"], row["may"]) for row in rows] == [
        ("root", "everything, !/bin/sh as anybody, with a password"),
        ("admin", "everything, !/bin/sh as anybody, without a password"),
        ("deploy", "/bin/restart, !/bin/sh as root, without a password"),
        ("eve", "everything, !/bin/sh as anybody, with a password"),
    ]
    assert flagged(rows) == ["deploy", "eve"]
    assert flagged(sudo(spec({"username": "deploy"}), said=[])) == []


def test_members_of_a_group_with_a_rule_are_compared() -> None:
    found = [account("eve", groups=["ops"]), account("admin", groups=["ops", "sudo"])]
    rows = sudo(spec({"usergroup": "ops"}), spec({"usergroup": "sudo"}), found=found)
    assert [row["name"] for row in rows] == ["%ops", "%sudo", "eve in ops", "admin in ops"]
    assert flagged(rows) == ["eve in ops"]


def test_everybody_is_nobody_that_is_declared() -> None:
    assert flagged(sudo(spec({"username": "ALL"}))) == ["ALL"]
    free = [{"Options": [{"authenticate": False}]}, {"Options": [{"env_reset": True}]}]
    assert flagged(sudo(Defaults=free)) == ["ALL"]
    mine = [{"Binding": [{"username": "admin"}], "Options": [{"authenticate": False}]}]
    assert flagged(sudo(Defaults=mine)) == []


def test_rules_that_cannot_be_read_are_flagged_and_a_host_without_sudo_is_not() -> None:
    (row,) = filters["audit_sudo"]({"rc": 1, "stdout": "", "stderr": "syntax error"}, [], SAID)
    assert "syntax error" in row["finding"]
    assert filters["audit_sudo"]({"rc": 0, "stdout": ""}, [], SAID) == []


def sshd(text: str) -> list[str]:
    return flagged(filters["audit_sshd"]({"rc": 0, "stdout": text}))


def test_sshd_is_flagged_for_passwords_of_root_and_empty_ones() -> None:
    good = "permitrootlogin without-password\npasswordauthentication yes\npermitemptypasswords no\n"
    assert sshd(good) == []
    assert sshd(good.replace("without-password", "yes")) == ["PermitRootLogin"]
    assert sshd(good.replace("permitemptypasswords no", "permitemptypasswords yes")) == [
        "PasswordAuthentication"
    ]
    assert sshd("permitrootlogin yes\npasswordauthentication no\n") == []
    assert sshd("") == []


def test_sshd_that_cannot_be_asked_is_flagged() -> None:
    (row,) = filters["audit_sshd"]({"rc": 1, "stdout": "", "stderr": "no hostkeys"})
    assert "no hostkeys" in row["finding"]


def test_key_files_are_those_of_sshd() -> None:
    ask = filters["audit_key_files"]
    assert ask({"stdout": ""}) == [".ssh/authorized_keys", ".ssh/authorized_keys2"]
    assert ask({"stdout": "port 22\nauthorizedkeysfile .keys /etc/%u\n"}) == [".keys", "/etc/%u"]
    assert ask({"stdout": "authorizedkeysfile none\n"}) == []


def test_further_keys_of_a_program_are_named() -> None:
    rows = filters["audit_sshd"]({"rc": 0, "stdout": "authorizedkeyscommand /usr/bin/sss x\n"})
    assert rows[-1]["name"] == "/usr/bin/sss x"
