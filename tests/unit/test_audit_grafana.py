"""Grafana's users, tokens and settings, by answers in the form of its HTTP API's documentation."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.filter.audit import FilterModule as Report
from plugins.filter.audit_grafana import FilterModule

filters = FilterModule().filters()
TODAY = "2026-11-25"
LDAP = [
    {"groups": [{"dn": "cn=a", "role": "Admin", "server_admin": False}]},
    {"groups": [{"dn": "cn=v", "role": "Viewer"}]},
]


def user(number: int, login: str, *labels: str, **about: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": login.title(),
        "login": login,
        "email": f"{login}@example.com",
        "isAdmin": False,
        "isDisabled": False,
        "lastSeenAt": "2026-11-20T20:29:27+03:00",
        "lastSeenAtAge": "5d",
        "authLabels": list(labels),
        **about,
    }


ADMIN = user(1, "admin", isAdmin=True)


def users(
    *found: dict[str, Any],
    roles: dict[int, str] | None = None,
    sessions: Any = (),
    ldap: Any = LDAP,
    settings: Any = (),
    status: int = 200,
) -> list[dict[str, Any]]:
    members = [
        {"orgId": 1, "userId": number, "login": "x", "role": role}
        for number, role in (roles or {}).items()
    ]
    details = [
        {"item": one, "json": {"id": one["id"], "createdAt": "2026-02-03T11:31:26+01:00"}}
        for one in found
    ]
    rows: list[dict[str, Any]] = filters["audit_grafana_users"](
        found,
        members,
        {"details": details, "sessions": [{"status": status, "json": list(sessions)}]},
        {"admin": "admin", "ldap_servers": ldap, "settings": dict(settings)},
        TODAY,
    )
    return rows


def flagged(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows if row.get("finding")]


def test_users_of_the_directory_and_the_break_glass_account_are_declared() -> None:
    rows = users(ADMIN, user(2, "alice", "LDAP"), roles={1: "Admin", 2: "Viewer"})
    assert [(row["name"], row["may"], row["declared"]) for row in rows] == [
        (
            "admin",
            "Admin, server administrator, local password, break-glass, no session in a browser",
            True,
        ),
        ("alice", "Viewer, LDAP, last seen 2026-11-20", True),
    ]
    assert {row["since"] for row in rows} == {"2026-02-03T11:31:26+01:00"}
    assert flagged(rows) == []


def test_last_use_of_the_break_glass_account_is_its_last_session() -> None:
    sessions = [{"seenAt": "2026-03-05T21:22:54+01:00"}, {"seenAt": "2026-03-06T19:41:06+01:00"}]
    (row,) = users(ADMIN, roles={1: "Admin"}, sessions=sessions)
    assert row["may"].endswith("break-glass, in a browser last 2026-03-06")
    (row,) = users(ADMIN, roles={1: "Admin"}, status=404)
    assert row["may"].endswith("break-glass, use unknown")


def test_who_was_never_there_is_not_seen_ten_years_ago() -> None:
    (row,) = users(user(2, "bob", "LDAP", lastSeenAt="2016-11-25T10:00:00Z"), roles={2: "Viewer"})
    assert row["may"].endswith("never seen")


@pytest.mark.parametrize(
    ("role", "about", "words"),
    [
        ("Viewer", {}, "has a password of Grafana's own;"),
        ("Editor", {}, "and is Editor;"),
        ("Admin", {"isAdmin": True}, "and is Admin and server administrator;"),
    ],
)
def test_local_user_is_flagged_with_the_rights(role: str, about: Any, words: str) -> None:
    (row,) = users(user(2, "eve", **about), roles={2: role})
    assert words in row["finding"]
    assert row["declared"] is False


def test_disabled_local_user_is_shown_and_not_flagged() -> None:
    rows = users(user(2, "eve", isDisabled=True), roles={2: "Editor"})
    assert "disabled" in rows[0]["may"]
    assert flagged(rows) == []


def test_user_of_another_sign_in_is_flagged() -> None:
    (row,) = users(user(2, "eve", "GitHub"), roles={2: "Viewer"})
    assert "came in by GitHub" in row["finding"]
    declared = {"auth.github": {"enabled": True}, "auth.ldap": {"enabled": True}}
    eve = user(2, "eve", "GitHub")
    assert flagged(users(eve, roles={2: "Viewer"}, settings=declared)) == []
    declared.pop("auth.github")
    assert flagged(users(eve, roles={2: "Viewer"}, settings=declared)) == ["eve"]


def test_right_that_no_group_of_the_directory_gives_is_flagged() -> None:
    (row,) = users(user(2, "alice", "LDAP", isAdmin=True), roles={2: "Editor"})
    assert "is Editor and server administrator" in row["finding"]
    given = [{"groups": [{"role": "Editor", "server_admin": True}]}]
    rows = users(user(2, "alice", "LDAP", isAdmin=True), roles={2: "Editor"}, ldap=given)
    assert flagged(rows) == []


ACCOUNT = {"id": 7, "name": "ci", "login": "sa-ci", "role": "Editor", "isDisabled": False}


def tokens(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as the report shows them, which adds what their dates say."""
    mine: Any = filters["audit_grafana_tokens"]([ACCOUNT], [{"item": ACCOUNT, "json": found}])
    hostvars = {"mon": {"grafana_audited": {"rows": mine}}}
    parts = [{"role": "grafana", "group": "grafana"}]
    rows: list[dict[str, Any]] = Report().filters()["audit_rows"](
        hostvars, ["mon"], parts, {"grafana": ["mon"]}, TODAY
    )
    return rows


def token(**about: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "name": "deploy",
        "role": "Viewer",
        "created": "2026-11-01T10:31:02Z",
        "expiration": "2027-01-01T10:31:02Z",
        "secondsUntilExpiration": 0,
        "hasExpired": False,
        **about,
    }


def test_tokens_are_shown_with_their_account_and_dates() -> None:
    account, one = tokens(token())
    assert (account["name"], account["may"]) == ("ci", "Editor by 1 token")
    assert (one["name"], one["may"]) == ("ci/deploy", "Editor, use unknown")
    assert (one["since"], one["until"]) == ("2026-11-01", "2027-01-01")
    assert flagged([account, one]) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"expiration": None}, "It never ends."),
        ({"expiration": "2026-11-24T00:00:00Z"}, "It ended on 2026-11-24."),
        ({"expiration": "2026-11-27T00:00:00Z"}, "It ends on 2026-11-27."),
        ({"created": "2025-11-01T10:31:02Z"}, "It is 389 days old."),
    ],
)
def test_tokens_that_never_end_or_are_old_are_flagged(fault: dict[str, Any], words: str) -> None:
    assert words in tokens(token(**fault))[1]["finding"]


def test_token_that_was_used_says_when_and_a_revoked_one_is_no_finding() -> None:
    used, revoked = tokens(
        token(lastUsedAt="2026-11-20T10:31:02Z"), token(isRevoked=True, expiration=None)
    )[1:]
    assert used["may"] == "Editor, last used 2026-11-20"
    assert revoked["may"] == "nothing: it is revoked"
    assert flagged([used, revoked]) == []


def test_account_that_went_away_meanwhile_has_no_tokens() -> None:
    answers = [{"item": ACCOUNT, "status": 404, "json": None}]
    (row,) = filters["audit_grafana_tokens"]([ACCOUNT], answers)
    assert row["may"] == "Editor by 0 tokens"


SETTINGS = {
    "auth.anonymous": {"enabled": "false", "org_role": "Viewer"},
    "auth.ldap": {"enabled": "true", "config_file": "/etc/lookout/grafana/ldap.toml"},
    "users": {"allow_sign_up": "false"},
    "database": {"password": "canary-4711"},
}


def test_settings_say_how_people_get_in_and_nothing_else() -> None:
    rows = filters["audit_grafana_settings"](SETTINGS)
    assert [(row["name"], row["may"]) for row in rows] == [
        ("auth.anonymous enabled", "off"),
        ("users allow_sign_up", "off"),
        ("auth.ldap", "signs people in"),
    ]
    assert flagged(rows) == []
    assert "canary" not in str(rows)


@pytest.mark.parametrize(
    ("section", "key"), [("auth.anonymous", "enabled"), ("users", "allow_sign_up")]
)
def test_doors_that_are_open_are_flagged(section: str, key: str) -> None:
    rows = filters["audit_grafana_settings"]({**SETTINGS, section: {key: "true"}})
    assert flagged(rows) == [f"{section} {key}"]
