"""Who may sign in on a host, and who may become root there, as rows of `playbooks/audit.yml`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

# Who is in one of them is root, or gets there in one step.
ROOT_GROUPS = ("root", "sudo", "admin", "wheel", "disk", "docker", "lxd", "shadow")
# Who is in one of them reads all logs; packages put their daemons there.
READING_GROUPS = ("adm",)
_NO_SHELL = re.compile(r".*/(nologin|false)")
_MISSING = "base_administrators does not name them. Take it away, or add the name to the list."

Row = dict[str, Any]
Account = Mapping[str, Any]


def _signs_in(account: Account) -> bool:
    """Whether a shell opens to a password or a key."""
    if not account["shell"] or _NO_SHELL.fullmatch(account["shell"]):
        return False
    return account["password"] != "locked" or bool(account["keys"])  # noqa: S105


def _means(account: Account) -> str:
    password, count = account["password"], len(account["keys"])
    words = {"usable": ["a password"], "empty": ["an empty password"]}.get(password, [])
    words += [f"{count} key{'s' if count > 1 else ''}"] if count else []
    return "signs in with " + " and ".join(words)


def _declared(name: str, administrators: Sequence[str]) -> bool | None:
    """Whether somebody is a declared administrator; none where the inventory names nobody."""
    return name in administrators if administrators else None


def _of_account(account: Account, administrators: Sequence[str]) -> list[Row]:
    name = account["name"]
    problems = [f"{sentence}: correct owner and mode." for sentence in account["wrong"]]
    if account["uid"] == 0 and name != "root":
        problems.insert(0, f"{name} is root by another name (uid 0). Remove it: userdel {name}.")
    signs_in = _signs_in(account)
    if signs_in and account["password"] == "empty":  # noqa: S105
        problems.append(f"Its password is empty. Lock it: passwd --lock {name}.")
    if not signs_in and not problems:
        return []
    rows = [
        {
            "kind": "account",
            "name": name,
            "may": _means(account) if signs_in else "no sign-in",
            "since": account["since"],
            "until": account["until"],
            "renew": "Remove the account, or give it more time: chage --expiredate.",
            "declared": True if name in administrators else None,
            "finding": " ".join(problems),
        }
    ]
    for key in account["keys"] if signs_in else []:
        limits = f", limited by {', '.join(key['options'])}" if key["options"] else ""
        rows.append(
            {
                "kind": "ssh key",
                "name": f"{name} {key['fingerprint']}",
                "may": f"signs in as {name}{limits}; {key['comment'] or 'no comment'}",
                "until": key["until"],
                "renew": f"Take it out of {key['file']}, or give it more time.",
            }
        )
    return rows


def _members(group: str, may: str, accounts: Sequence[Account], said: Sequence[str]) -> list[Row]:
    flagged = group not in READING_GROUPS
    rows = []
    for account in accounts:
        name = account["name"]
        if group not in account["groups"] or name == "root" or account["uid"] == 0:
            continue
        declared = _declared(name, said) if flagged else None
        rows.append(
            {
                "kind": "group",
                "name": f"{name} in {group}",
                "may": may,
                "declared": declared,
                "finding": f"{name} {may}, and {_MISSING}" if declared is False else "",
            }
        )
    return rows


def audit_accounts(found: Mapping[str, Any], administrators: Sequence[str]) -> list[Row]:
    """Rows for what the module `accounts` found."""
    rows = [row for one in found["accounts"] for row in _of_account(one, administrators)]
    for group in ROOT_GROUPS:
        rows += _members(group, "may become root", found["accounts"], administrators)
    for group in READING_GROUPS:
        rows += _members(group, "reads all logs", found["accounts"], administrators)
    rows += [
        {
            "kind": "file",
            "name": file["path"],
            "may": "decides who may do what",
            "finding": f"{file['wrong']}: correct owner and mode.",
        }
        for file in found["files"]
    ]
    if not administrators:
        rows.append(
            {
                "kind": "inventory",
                "name": "base_administrators",
                "may": "names nobody: who may become root is shown, and compared with nothing",
            }
        )
    return rows


def _who(entry: Mapping[str, Any], names: Mapping[Any, str]) -> str:
    """A user or group of a sudo rule, as sudoers(5) writes it."""
    kind, value = next((item for item in entry.items() if item[0] != "negated"), ("", ""))
    prefix = {"username": "", "usergroup": "%", "userid": "#", "usergid": "%#"}
    if kind == "userid" and value in names:
        kind, value = "username", names[value]
    text = f"{prefix.get(kind, kind + ' ')}{value}"
    return f"!{text}" if entry.get("negated") else text


def _what(spec: Mapping[str, Any], names: Mapping[Any, str]) -> tuple[str, bool]:
    """What one part of a rule allows, and whether without a password."""
    commands = [
        ("!" if one.get("negated") else "") + str(one.get("command", "a digest"))
        for one in spec["Commands"]
    ]
    users = ", ".join(_who(one, names) for one in spec.get("runasusers", [])) or "root"
    free = any(option.get("authenticate") is False for option in spec.get("Options", []))
    what = ", ".join("everything" if command == "ALL" else command for command in commands)
    asked = "without a password" if free else "with a password"
    return f"{what} as {'anybody' if users == 'ALL' else users}, {asked}", free


def _rule(name: str, may: str, administrators: Sequence[str]) -> Row:
    # root needs no rule, and who is in a group has a row for that.
    judged = name != "root" and not name.startswith(("%", "!"))
    declared = _declared(name, administrators) if judged else None
    wrong = f"{'Everybody' if name == 'ALL' else name} may run {may}, and {_MISSING}"
    return {
        "kind": "sudo",
        "name": name,
        "may": may,
        "declared": declared,
        "finding": wrong if declared is False else "",
    }


def _unasked(default: Mapping[str, Any], names: Mapping[Any, str]) -> Iterable[str]:
    """Whom a line of Defaults spares the password."""
    if any(option.get("authenticate") is False for option in default.get("Options", [])):
        return [_who(one, names) for one in default.get("Binding", [])] or ["ALL"]
    return []


def audit_sudo(
    asked: Mapping[str, Any], accounts: Sequence[Account], administrators: Sequence[str]
) -> list[Row]:
    """Rows for the rules of sudo, of the answer of `cvtsudoers -f json` (none without sudo)."""
    if asked["rc"] != 0:
        why = (asked.get("stderr") or asked.get("msg") or "no reason given").strip()
        wrong = f"The rules of sudo could not be read: {why}. Look with visudo --check."
        return [{"kind": "sudo", "name": "/etc/sudoers", "may": "unknown", "finding": wrong}]
    if not asked["stdout"].strip():
        return []
    rules = json.loads(asked["stdout"])
    names = {account["uid"]: account["name"] for account in accounts}
    rows, groups = [], []
    for spec in rules.get("User_Specs", []):
        for entry in spec["User_List"]:
            name = _who(entry, names)
            whats = [_what(part, names)[0] for part in spec["Cmnd_Specs"]]
            rows.append(_rule(name, "; ".join(whats), administrators))
            groups += [name[1:]] if name.startswith("%") else []
    for default in rules.get("Defaults", []):
        may = "what sudo lets them, without a password"
        rows += [_rule(name, may, administrators) for name in _unasked(default, names)]
    for group in dict.fromkeys(groups):
        if group not in ROOT_GROUPS:
            rows += _members(group, f"may run what sudo lets %{group}", accounts, administrators)
    return rows


def audit_sshd(asked: Mapping[str, Any]) -> list[Row]:
    """Rows for what `sshd -T` says of passwords and root (none without sshd)."""
    if asked["rc"] != 0:
        wrong = f"sshd could not be asked: {asked.get('stderr', '').strip()}. Look with sshd -T."
        return [{"kind": "sshd", "name": "sshd -T", "may": "unknown", "finding": wrong}]
    lines = (line.split(maxsplit=1) for line in asked["stdout"].splitlines())
    says = {words[0]: words[1] for words in lines if len(words) > 1}
    if not says:
        return []
    by_password = "yes" in (
        says.get("passwordauthentication"), says.get("kbdinteractiveauthentication"),
    )  # fmt: skip
    root = says.get("permitrootlogin", "no")
    rows = [
        {
            "kind": "sshd",
            "name": "PermitRootLogin",
            "may": f"root signs in: {root}",
            "finding": "root may try passwords over SSH. Set PermitRootLogin prohibit-password."
            if root == "yes" and by_password
            else "",
        },
        {
            "kind": "sshd",
            "name": "PasswordAuthentication",
            "may": f"passwords are taken: {'yes' if by_password else 'no'}",
            "finding": "An empty password opens SSH. Set PermitEmptyPasswords no."
            if by_password and says.get("permitemptypasswords") == "yes"
            else "",
        },
    ]
    command = says.get("authorizedkeyscommand", "none")
    if command != "none":
        may = "names further keys, which are not in this report"
        rows.append({"kind": "sshd", "name": command, "may": may})
    return rows


def audit_key_files(asked: Mapping[str, Any]) -> list[str]:
    """Where sshd looks for keys, by `sshd -T`; sshd's own default where that says nothing."""
    found = re.findall(r"(?m)^authorizedkeysfile (.+)$", asked["stdout"])
    places = found[0].split() if found else [".ssh/authorized_keys", ".ssh/authorized_keys2"]
    return [place for place in places if place != "none"]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "audit_accounts": audit_accounts,
            "audit_key_files": audit_key_files,
            "audit_sshd": audit_sshd,
            "audit_sudo": audit_sudo,
        }
