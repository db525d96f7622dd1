#!/usr/bin/python
"""Read who may sign in on a host; a hash of a password never leaves it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts
short_description: the accounts of a host, and what they sign in with
description:
  - Reads the files of users, groups, passwords and SSH keys, and changes nothing. Of a password it
    tells whether there is one and when it was set, of a key its fingerprint, comment and the names
    of its options.
  - Accounts of a directory (LDAP) are not in these files, and so not in the answer.
options:
  key_files:
    description: Where sshd looks for keys, as in its AuthorizedKeysFile; it may hold C(%h), C(%u).
    type: list
    elements: str
    default: [.ssh/authorized_keys, .ssh/authorized_keys2]
author: Lookout
"""

EXAMPLES = r"""
- name: Read who may sign in
  accounts:
    key_files: [.ssh/authorized_keys, /etc/ssh/keys/%u]
  register: found
"""

RETURN = r"""
accounts:
  description:
    - One an account, with C(name), C(uid), C(shell), C(password) (usable, locked or empty),
      C(since) (when that was set) and C(until) (when the account ends), both as dates or empty,
      C(groups), C(keys) (C(fingerprint), C(comment), C(options), C(until), C(file)) and C(wrong),
      a list of what is wrong with the files of its keys.
  returned: always
  type: list
  elements: dict
files:
  description: Files that decide who may do what, and that somebody else than root may write.
  returned: always
  type: list
  elements: dict
"""

import base64
import binascii
import datetime
import hashlib
import re
import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# Who writes one of them decides who may do what.
OF_ROOT = ("passwd", "group", "shadow", "gshadow", "sudoers", "sudoers.d")
MOST_BYTES = 1_000_000
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_KEY = re.compile(r"^(?:(\S+)\s+)?((?:sk-)?(?:ssh|ecdsa)-\S+)\s+([A-Za-z0-9+/]+=*)(?:\s+(.*))?$")
_UNTIL = re.compile(r'expiry-time="(\d{4})(\d{2})(\d{2})')


def date(days: str) -> str:
    """Days since the epoch, as shadow(5) counts, as a date."""
    if not days.isdigit():
        return ""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=int(days))).isoformat()


def table(root: Path, name: str) -> list[list[str]]:
    """The lines of a file as /etc/passwd is one."""
    try:
        text = (root / "etc" / name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line.split(":") for line in text.splitlines() if ":" in line]


def writers(path: Path, uid: int, gid: int) -> str:
    """What is wrong with a file of this user; root may own and write everything."""
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (0, uid):
        return f"{path} belongs to another user (uid {found.st_uid})"
    if mode & stat.S_IWOTH:
        return f"{path} may be written by everybody (mode {mode:04o})"
    if mode & stat.S_IWGRP and found.st_gid not in (0, gid):
        return f"{path} may be written by a group (gid {found.st_gid}, mode {mode:04o})"
    return ""


def key(line: str, file: str) -> dict[str, Any] | None:
    """One line of an authorized_keys file; None where it holds no key."""
    plain = _KEY.fullmatch(_QUOTED.sub("", line.strip()))
    if line.lstrip().startswith("#") or not plain:
        return None
    options, _, blob, comment = plain.groups()
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except binascii.Error:
        return None
    until = _UNTIL.search(line)
    return {
        "fingerprint": "SHA256:" + base64.b64encode(digest).decode().rstrip("="),
        "comment": comment or "",
        "options": [word.partition("=")[0] for word in (options or "").split(",") if word],
        "until": "-".join(until.groups()) if until else "",
        "file": file,
    }


def keys_of(
    root: Path, home: str, name: str, ids: tuple[int, int], key_files: list[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The keys of an account, and what is wrong with where they lie."""
    keys, wrong = [], []
    for pattern in key_files:
        place = pattern.replace("%h", home).replace("%u", name).replace("%%", "%")
        shown = Path(home, place)
        path = root / str(shown).lstrip("/")
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        keys += [found for line in text.splitlines() if (found := key(line, str(shown)))]
        # Who writes one of the folders can put another file there.
        folders = [path.parent, root / home.lstrip("/")] if not place.startswith("/") else []
        wrong += [writers(one, *ids) for one in dict.fromkeys([path, *folders])]
    return keys, [sentence for sentence in wrong if sentence]


def password(field: str) -> str:
    """What the second field of /etc/shadow says, without saying it."""
    if not field:
        return "empty"
    return "locked" if field[0] in "!*" else "usable"


def read_accounts(root: Path, key_files: list[str]) -> list[dict[str, Any]]:
    shadow = {line[0]: line for line in table(root, "shadow")}
    groups = [(line[0], line[2], line[3].split(",")) for line in table(root, "group")]
    accounts = []
    for name, field, uid, gid, _, home, shell in table(root, "passwd"):
        kept = [*shadow.get(name, []), *[""] * 9]
        ids = (int(uid), int(gid))
        keys, wrong = keys_of(root, home or "/", name, ids, key_files)
        accounts.append(
            {
                "name": name,
                "uid": int(uid),
                "shell": shell,
                # `x` says that the password is in the other file.
                "password": password(field if field != "x" else kept[1] if kept[0] else "!"),
                "since": date(kept[2]),
                "until": date(kept[7]),
                "groups": [group for group, own, users in groups if own == gid or name in users],
                "keys": keys,
                "wrong": wrong,
            }
        )
    return accounts


def read_files(root: Path) -> list[dict[str, str]]:
    etc = root / "etc"
    paths = [etc / name for name in OF_ROOT if (etc / name).exists()]
    paths += sorted((etc / "sudoers.d").glob("*"))
    wrong = [(path, writers(path, 0, 0)) for path in paths if path.exists()]
    return [{"path": str(path), "wrong": sentence} for path, sentence in wrong if sentence]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "key_files": {
                "type": "list",
                "elements": "str",
                "default": [".ssh/authorized_keys", ".ssh/authorized_keys2"],
            },
        },
        supports_check_mode=True,
    )
    root = Path("/")
    module.exit_json(
        changed=False,
        accounts=read_accounts(root, module.params["key_files"]),
        files=read_files(root),
    )


if __name__ == "__main__":
    main()
