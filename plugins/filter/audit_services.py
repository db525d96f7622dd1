"""Who gets through to services, as rows of `playbooks/audit.yml`: gateway, ports, certificates."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography import x509

Row = dict[str, Any]
Route = Mapping[str, Any]

_SIGN_IN = {
    "basic": "everybody with the gateway's password",
    "own": "everybody whom the service's own sign-in lets in",
    "none": "everybody, without a password",
}
_PASSED = "opens everything that asks for the gateway's password"
_GATEWAY = "ansible-playbook site.yml --limit gateway"
# What may read the key of a certificate beside root and the group of keys
_BY_OTHERS = 0o007


def _of_user(name: str, kept: str | None, asked: str | None) -> Row:
    wrong = ""
    if asked is None:
        wrong = (
            f"nginx_users does not name {name}. {_GATEWAY} takes the user away; or add the name."
        )
    elif kept is None:
        wrong = f"nginx_users names {name}, and nginx does not. {_GATEWAY} adds the user."
    elif kept != asked:
        wrong = f"The password of {name} is not that of nginx_users. {_GATEWAY} puts it right."
    return {
        "kind": "user",
        "name": name,
        "may": _PASSED if kept is not None else "nothing",
        "declared": asked is not None,
        "finding": wrong,
    }


def audit_gateway_users(text: str, users: Mapping[str, str]) -> list[Row]:
    """Rows for the live file of users (`name:hash` a line) against nginx_users; without a hash."""
    lines = (line.strip().partition(":") for line in text.splitlines())
    kept = {name: rest for name, colon, rest in lines if colon and not name.startswith("#")}
    names = dict.fromkeys([*users, *kept])
    return [
        _of_user(str(name), kept.get(str(name)), None if name not in users else str(users[name]))
        for name in names
    ]


def audit_routes(routes: Sequence[Route], hosts: Sequence[str]) -> list[Row]:
    """Rows for the routes as `routes_read` returns them; `hosts` are those of the inventory."""
    rows = []
    for route in routes:
        known = route.get("host") in hosts
        wrong = f"Its host {route.get('host')} is not in the inventory. Run site.yml, which prunes."
        place = route.get("path") or route.get("server_name") or route["file"]
        opens = _SIGN_IN.get(str(route.get("sign_in", "basic")), "nobody knows whom")
        rows.append(
            {
                "kind": "route",
                "name": str(place),
                "may": f"opens {route.get('name', 'what its file says')} on {route.get('host')} "
                f"to {opens}",
                "declared": known,
                "finding": "" if known else wrong,
            }
        )
    return rows


def _port(name: str, port: Any, protocol: str, sources: Sequence[Any], declared: Any) -> Row:
    whom = ", ".join("everybody" if source == "any" else str(source) for source in sources)
    return {
        "kind": "port",
        "name": f"{port}/{protocol}",
        "may": f"open to {whom} ({name})",
        "declared": declared,
    }


_NO_FIREWALL = {
    "kind": "firewall",
    "name": "rule set",
    "may": "every port that something listens on is open to everybody",
    "declared": True,
    "finding": "The firewall is off. Set firewall_enabled: true, declare what has to be open in "
    "firewall_extra_ports, and run site.yml.",
}


def audit_firewall(
    openings: Sequence[Mapping[str, Any]],
    ssh_ports: Sequence[str],
    rules: Sequence[str],
    status: Mapping[str, Any],
) -> list[Row]:
    """Rows for the declared ports, SSH, and lines of nft of the site's own.

    `status` is the answer of `lookout-firewall status`, empty where the firewall is switched off.
    The ports are those that the roles and the inventory declared; it decides whether they are all.
    """
    if not status:
        return [{**_NO_FIREWALL}]
    rows = [
        _port(one["name"], one["port"], one.get("protocol", "tcp"), one["sources"], True)
        for one in openings
    ]
    rows += [_port("ssh", port, "tcp", ["any"], None) for port in ssh_ports]
    rows += [
        {"kind": "rule", "name": rule, "may": "what this line of nft says", "declared": True}
        for rule in rules
    ]
    if status["rc"] != 0:
        said = str(status.get("stderr") or status.get("stdout") or status.get("msg") or "").strip()
        rows.append(
            {
                "kind": "firewall",
                "name": "rule set",
                "may": "unknown: other ports may be open",
                "declared": False,
                "finding": f"Other rules than the declared ones are in force ({said}). Run "
                "site.yml for this host, which loads them anew.",
            }
        )
    return rows


def _certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [certificate.subject.rfc4514_string()]
    return [str(name.value) for name in found]


def audit_certificates(
    files: Sequence[Mapping[str, Any]],
    renew: str,
    known: Sequence[str] | None = None,
    forget: str = "",
) -> list[Row]:
    """Rows for certificates as `slurp` returns them (`source`, `content`).

    `renew` says how one that ends is renewed; where `known` names those of the inventory (by the
    name of their folder), `forget` says what to do with another one.
    """
    rows = []
    for file in files:
        source, folder = str(file["source"]), str(file["source"]).split("/")[-2]
        row: Row = {"kind": "certificate", "name": source if known is None else folder}
        declared = True if known is None else folder in known
        try:
            found = _certificate(base64.b64decode(file["content"]).decode())
        except ValueError as error:
            wrong = f"{source} holds no certificate ({error}). {renew}"
            rows.append({**row, "may": "nothing", "declared": declared, "finding": wrong})
            continue
        rows.append(
            {
                **row,
                "may": f"speaks for {', '.join(_names(found))}",
                "since": found.not_valid_before_utc.date().isoformat(),
                "until": found.not_valid_after_utc.date().isoformat(),
                "renew": renew,
                "declared": declared,
                "finding": "" if declared else f"It is not in the inventory. {forget}",
            }
        )
    return rows


def audit_keys(files: Sequence[Mapping[str, Any]], group: str, members: str) -> list[Row]:
    """Rows for private keys as `stat` returns them; `members` is the line of `getent group`."""
    users = ", ".join(name for name in members.strip().rpartition(":")[2].split(",") if name)
    rows = []
    for file in files:
        found = file["stat"]
        owner, of_group = found.get("pw_name", found["uid"]), found.get("gr_name", found["gid"])
        mode = int(found["mode"], 8)
        wrong = [f"it belongs to {owner}"] if found["uid"] != 0 else []
        wrong += [f"its mode is {found['mode']}"] if mode & _BY_OTHERS else []
        # Of another group than that of keys it is wrong where the group gets at it.
        by_group = bool(mode & 0o070) and found["gid"] != 0
        wrong += [f"its group is {of_group}"] if by_group and of_group != group else []
        means = f"read by root and the group {of_group}, members: {users or 'none'}"
        rows.append(
            {
                "kind": "key",
                "name": found["path"],
                "may": means if by_group else "read by root",
                "declared": not wrong,
                "finding": f"More than root and the group {group} may get at it: "
                f"{' and '.join(wrong)}. Run site.yml for this host, and renew the certificate."
                if wrong
                else "",
            }
        )
    return rows


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "audit_certificates": audit_certificates,
            "audit_firewall": audit_firewall,
            "audit_gateway_users": audit_gateway_users,
            "audit_keys": audit_keys,
            "audit_routes": audit_routes,
        }
