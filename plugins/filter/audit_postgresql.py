"""Who may do what in PostgreSQL, as rows of `playbooks/audit.yml`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Role = Mapping[str, Any]

# What a role may be allowed beyond signing in, and the word in the inventory that allows it
FLAGS = {
    "superuser": "SUPERUSER",
    "createdb": "CREATEDB",
    "createrole": "CREATEROLE",
    "replication": "REPLICATION",
    "bypassrls": "BYPASSRLS",
}
SUPERUSER = "postgres"
# PostgreSQL's own database, which pg_hba.conf keeps people out of
MAINTENANCE = "postgres"
# A standby has its roles from its primary, so that they are put right there.
_RUN = "Run site.yml for the database hosts"
_WEAK = ("password", "md5", "ident", "crypt")
_PLAIN = ("host", "hostnossl", "hostgssenc", "hostnogssenc")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _groups_of(name: str, declared: Mapping[str, Role]) -> set[str]:
    """The groups that a declared role is in, with those that they are in."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for group in _list(declared.get(waiting.pop(), {}).get("member_of") or []):
            if group not in found:
                found.add(group)
                waiting.append(group)
    return found


def _databases_of(
    name: str, declared: Mapping[str, Role], asked: Mapping[str, Sequence[Role]]
) -> set[str]:
    """Where the inventory lets a role connect: named, owned, granted, or as a member of a group."""
    found: set[str] = set()
    names = {name, *_groups_of(name, declared)}
    for one in names:
        found |= set(_list(declared.get(one, {}).get("databases") or []))
    found |= {one["name"] for one in asked["databases"] if one.get("owner", SUPERUSER) in names}
    found |= {
        one["database"]
        for one in asked["privileges"]
        if one["role"] in names
        and one.get("type") == "database"
        and {"CONNECT", "ALL"} & set(_list(one["privileges"]))
    }
    return found


def _wider(
    role: Role, declared: Mapping[str, Role], asked: Mapping[str, Sequence[Role]], open_: set[str]
) -> list[str]:
    """What a declared role may do beyond what the inventory says."""
    entry = declared[role["name"]]
    attributes = set(_list(entry.get("attributes") or []))
    found = [flag for flag, word in FLAGS.items() if role[flag] and word not in attributes]
    found += ["login"] if role["login"] and "NOLOGIN" in attributes else []
    extra = sorted(set(role["member_of"]) - set(_list(entry.get("member_of") or [])))
    found += [f"member of {', '.join(extra)}"] if extra else []
    limit, wanted = role["connection_limit"], int(entry.get("connection_limit", -1))
    found += (
        ["more connections than its limit"] if wanted >= 0 > limit or limit > wanted >= 0 else []
    )
    if not entry.get("any_database"):
        known = _databases_of(role["name"], declared, asked)
        extra = sorted(set(role["databases"]) - known - open_ - {MAINTENANCE})
        found += [f"connects to {', '.join(extra)}"] if extra else []
    return found


def _may(role: Role) -> str:
    words = ["signs in" if role["login"] else "is a group"]
    words[0] += {"none": "", "scram": " with a password", "md5": " with a password (md5)"}[
        role["password"]
    ]
    words += [flag for flag in FLAGS if role[flag]]
    if role["member_of"]:
        words.append(f"in {', '.join(role['member_of'])}")
    if role["login"] and role["connection_limit"] >= 0:
        words.append(f"at most {role['connection_limit']} connections")
    where = "every database" if role["superuser"] else ", ".join(role["databases"]) or "no database"
    return f"{', '.join(words)}; connects to {where}" if role["login"] else ", ".join(words)


def _of_role(
    role: Role, declared: Mapping[str, Role], asked: Mapping[str, Sequence[Role]], open_: set[str]
) -> Row:
    name = role["name"]
    problems = []
    if name not in declared:
        problems.append(
            f"postgresql_roles does not name {name}. Add it there, or drop it: drop role {name}."
        )
    elif wider := _wider(role, declared, asked, open_):
        problems.append(
            f"{name} is allowed more than the inventory says: {', '.join(wider)}. {_RUN}, which "
            "resets attributes; revoke the rest by hand."
        )
    if role["password"] == "md5":  # noqa: S105
        problems.append(f"The password of {name} is kept as md5. Set it anew: it becomes SCRAM.")
    return {
        "kind": "role",
        "name": name,
        "may": _may(role),
        "until": role["until"] or "",
        "renew": f"Its password is good until then: alter role {name} valid until '…'.",
        "declared": name in declared,
        "finding": " ".join(problems),
    }


def _of_database(database: Role, owners: Mapping[str, str]) -> Row:
    name, owner = database["name"], database["owner"]
    known = name in owners
    problems = []
    if not known:
        problems.append(f"postgresql_databases does not name {name}. Add it there, or drop it.")
    elif owner != owners[name]:
        problems.append(f"It belongs to {owner}, by the inventory to {owners[name]}. {_RUN}.")
    if database["public"] and name != MAINTENANCE:
        problems.append(
            f"Every role may connect to it. {_RUN}, or: revoke connect on database {name} from "
            "public."
        )
    return {
        "kind": "database",
        "name": name,
        "may": f"belongs to {owner}; "
        + ("every role connects" if database["public"] else "only named roles connect"),
        "declared": known,
        "finding": " ".join(problems),
    }


def _of_lines(kind: str, method: str, lines: Sequence[Role]) -> Row:
    numbers = ", ".join(str(line["line"]) for line in lines)
    people = sorted({user for line in lines for user in line["users"] or []})
    problems = []
    if method == "trust":
        problems.append("trust lets everybody in as whoever they say they are.")
    if method in _WEAK:
        problems.append(f"{method} is no proof that is worth the name; scram-sha-256 is.")
    if kind in _PLAIN:
        problems.append("It lets in without TLS, where hostssl would not.")
    fix = f"See line {numbers} of pg_hba.conf; {_RUN[0].lower()}{_RUN[1:]}, which writes it anew."
    return {
        "kind": "pg_hba",
        "name": f"{kind} {method}",
        "may": f"{len(lines)} line{'s' if len(lines) > 1 else ''} for {', '.join(people)}",
        "finding": " ".join([*problems, fix]) if problems else "",
    }


def _of_hba(lines: Sequence[Role]) -> list[Row]:
    by_method: dict[tuple[str, str], list[Role]] = {}
    rows = []
    for line in lines:
        if line["error"]:
            wrong = f"Line {line['line']} is wrong, and the file as a whole not taken up: {_RUN}."
            name = f"line {line['line']}"
            rows.append({"kind": "pg_hba", "name": name, "may": "nothing", "finding": wrong})
        elif line["method"] != "reject":
            by_method.setdefault((line["type"], line["method"]), []).append(line)
    return rows + [_of_lines(*key, found) for key, found in sorted(by_method.items())]


def audit_postgresql(
    found: Mapping[str, Any], asked: Mapping[str, Sequence[Role]], own: Sequence[Role]
) -> list[Row]:
    """Rows for what audit.sql returned.

    `asked` has the inventory's `roles`, `databases` and `privileges`, `own` the roles that this
    repository brings, in the same form; one with `any_database` may connect to all of them.
    """
    declared = {entry["name"]: entry for entry in [*own, *asked["roles"]]}
    open_ = {one["name"] for one in found["databases"] if one["public"]}
    rows = [_of_role(role, declared, asked, open_) for role in found["roles"]]
    owners = {one["name"]: one.get("owner", SUPERUSER) for one in asked["databases"]}
    owners.setdefault(MAINTENANCE, SUPERUSER)
    rows += [_of_database(database, owners) for database in found["databases"]]
    return rows + _of_hba(found["hba"] or [])


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"audit_postgresql": audit_postgresql}
