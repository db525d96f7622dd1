"""Who may do what in Grafana, as rows of `playbooks/audit.yml`.

The fields are those of Grafana's HTTP API: users, organisation users, service accounts, their
tokens, and the settings of the server as its administrator sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Entry = Mapping[str, Any]

VIEWER = "Viewer"
OLDEST_TOKEN_DAYS = 365
# Who was never there was last seen ten years before the account was made.
_NEVER_YEARS = 9
# Settings that let in whom nobody has named: section, key, what it means, what to do
_OPEN = (
    ("auth.anonymous", "enabled", "lets everybody in without an account"),
    ("users", "allow_sign_up", "lets everybody make an account"),
)
# Sections of the ways in that the role itself sets
_KNOWN = ("auth.anonymous", "auth.basic", "auth.ldap")


def _json(answer: Entry) -> Any:
    """The body of one answer; nothing where what was asked for is gone by now."""
    return answer.get("json") or {}


def _seen(when: str, today: str) -> str:
    if not when or int(today[:4]) - int(when[:4]) >= _NEVER_YEARS:
        return "never seen"
    return f"last seen {when[:10]}"


def _used(answers: Sequence[Entry]) -> str:
    """When it had a session: a person in a browser has one, a run that asks has none."""
    if any(answer.get("status") != 200 for answer in answers):  # noqa: PLR2004
        return "use unknown"
    days = [str(one["seenAt"])[:10] for answer in answers for one in _json(answer) or []]
    return f"in a browser last {max(days)}" if days else "no session in a browser"


def _of_user(user: Entry, role: str, admin: str, given: Mapping[str, Any]) -> str:
    """What is wrong with a user, by where the account came from."""
    login = user["login"]
    if user.get("isDisabled") or login == admin:
        return ""
    rights = [role] if role not in (VIEWER, "") else []
    rights += ["server administrator"] if user.get("isAdmin") else []
    if not user.get("authLabels"):
        more = f", and is {' and '.join(rights)}" if rights else ""
        return (
            f"{login} has a password of Grafana's own{more}; only {admin} should. Delete the "
            "account, and let the directory sign the person in."
        )
    if "LDAP" not in user["authLabels"]:
        if given["other"]:
            return ""
        return (
            f"{login} came in by {', '.join(user['authLabels'])}, which grafana_settings does not "
            "set up. Delete the account."
        )
    unmapped = [role] if role and role not in given["roles"] else []
    unmapped += ["server administrator"] if user.get("isAdmin") and not given["admins"] else []
    if unmapped:
        return (
            f"{login} is {' and '.join(unmapped)}, which no group of grafana_ldap_servers gives. "
            "The next sign-in takes it away; or take it away in Grafana."
        )
    return ""


def _is_on(value: Any) -> bool:
    return str(value).lower() == "true"


def _given(declared: Mapping[str, Any]) -> dict[str, Any]:
    """What the groups of the directory may give, and whether the inventory has another sign-in."""
    groups = [group for one in declared["ldap_servers"] for group in one.get("groups") or []]
    return {
        "roles": {group["role"] for group in groups},
        "admins": any(group.get("server_admin") for group in groups),
        "other": any(
            section.startswith("auth.") and section not in _KNOWN and _is_on(keys.get("enabled"))
            for section, keys in declared["settings"].items()
        ),
    }


def audit_grafana_users(
    users: Sequence[Entry],
    members: Sequence[Entry],
    answers: Mapping[str, Sequence[Entry]],
    declared: Mapping[str, Any],
    today: str,
) -> list[Row]:
    """Rows for the users of /api/users, with their roles of /api/org/users.

    `answers` has those of loops of requests: `details` of /api/users/:id, `sessions` of the local
    administrator. `declared` has the inventory's `admin`, `ldap_servers` and `settings`.
    """
    roles = {one["userId"]: str(one.get("role") or "") for one in members}
    made = {_json(one).get("id"): _json(one).get("createdAt") for one in answers["details"]}
    given, admin = _given(declared), declared["admin"]
    rows = []
    for user in users:
        role = roles.get(user["id"], "")
        words = [role or "no role in this organisation"]
        words += ["server administrator"] if user.get("isAdmin") else []
        words += ["disabled"] if user.get("isDisabled") else []
        words += user.get("authLabels") or ["local password"]
        words.append(_seen(str(user.get("lastSeenAt") or ""), today))
        if user["login"] == admin:
            words[-1] = f"break-glass, {_used(answers['sessions'])}"
        wrong = _of_user(user, role, admin, given)
        local = not user.get("authLabels")
        rows.append(
            {
                "kind": "user",
                "name": user["login"],
                "may": ", ".join(words),
                "since": made.get(user["id"]),
                "declared": user["login"] == admin if local else not wrong,
                "finding": wrong,
            }
        )
    return rows


def _of_token(token: Entry, account: Entry) -> Row:
    used = str(token.get("lastUsedAt") or "")[:10]
    row = {
        "kind": "token",
        "name": f"{account['name']}/{token['name']}",
        "may": f"{account['role']}, {f'last used {used}' if used else 'use unknown'}",
        "since": token.get("created"),
    }
    if token.get("isRevoked"):
        return {**row, "may": "nothing: it is revoked"}
    until = token.get("expiration")
    endless = "It never ends. Give its user one that does, and delete this one."
    return {
        **row,
        "until": until,
        "oldest_days": OLDEST_TOKEN_DAYS,
        "renew": "Give its user a new one, and delete this one.",
        "finding": "" if until else endless,
    }


def audit_grafana_tokens(accounts: Sequence[Entry], answers: Sequence[Entry]) -> list[Row]:
    """Rows for service accounts of /api/serviceaccounts/search and their tokens.

    `answers` are those of a loop over the accounts that asked for each one's tokens.
    """
    rows: list[Row] = []
    tokens = {answer["item"]["id"]: _json(answer) or [] for answer in answers}
    for account in accounts:
        name, off = account["name"], account.get("isDisabled")
        mine = tokens.get(account["id"], [])
        may = f"{account['role']} by {len(mine)} token{'' if len(mine) == 1 else 's'}"
        rows.append(
            {
                "kind": "service account",
                "name": name,
                "may": f"{may}, disabled" if off else may,
            }
        )
        rows += [_of_token(token, account) for token in mine]
    return rows


def audit_grafana_settings(settings: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Rows for how people get in, of /api/admin/settings; nothing else of it is shown."""
    rows = []
    for section, key, means in _OPEN:
        on = _is_on(settings.get(section, {}).get(key))
        rows.append(
            {
                "kind": "setting",
                "name": f"{section} {key}",
                "may": means if on else "off",
                "finding": f"It {means}. Take it out of grafana_settings, and run site.yml."
                if on
                else "",
            }
        )
    rows += [
        {"kind": "setting", "name": section, "may": "signs people in"}
        for section in sorted(settings)
        if section.startswith("auth.")
        and section != "auth.anonymous"
        and _is_on(settings[section].get("enabled"))
    ]
    return rows


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "audit_grafana_settings": audit_grafana_settings,
            "audit_grafana_tokens": audit_grafana_tokens,
            "audit_grafana_users": audit_grafana_users,
        }
