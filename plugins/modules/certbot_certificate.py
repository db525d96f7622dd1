#!/usr/bin/python
"""A certificate of certbot's as the inventory asks for it: issued where something differs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certbot_certificate
short_description: a certificate that certbot has issued as asked, and renews
description:
  - Compares a lineage of certbot's with what is asked for, and has it issued where it is missing,
    not whole, expired, without its account, or differs in its domains, key, ACME server or way of
    validation. What is as asked is not touched, and the ACME server is not asked.
  - Removes what an issue that was killed left behind, as certbot would go on beside it under
    another name.
  - Where certbot is at work already (its timer), waits for it.
  - A certificate that is not issued leaves the former one in place; the message is certbot's.
options:
  name:
    description: Name of the lineage.
    type: str
    required: true
  state:
    description: With C(absent) the lineage is deleted, and not revoked.
    type: str
    choices: [present, absent]
    default: present
  domains:
    description: The names in the certificate.
    type: list
    elements: str
    default: []
  challenge:
    description: How the ACME server validates them, over HTTP by webroot or over DNS by RFC 2136.
    type: str
    choices: [http, dns]
    default: http
  server:
    description: URL of the ACME directory.
    type: str
  email:
    description: Contact of the account.
    type: str
  ca_file:
    description: Certificates that the ACME server's own is verified with; the system's if empty.
    type: str
    default: ""
  webroot:
    description: Where the tokens of HTTP-01 are put.
    type: path
  credentials_file:
    description: Credentials of the RFC 2136 server, readable for root alone.
    type: path
  propagation_seconds:
    description: How long a DNS record takes to be seen.
    type: int
    default: 60
author: Lookout
"""

EXAMPLES = r"""
- name: Ensure the certificate is there
  certbot_certificate:
    name: status.example.com
    domains: [status.example.com]
    server: https://acme-v02.api.letsencrypt.org/directory
    email: admin@example.com
    webroot: /var/lib/lookout/acme
"""

RETURN = r"""
reasons:
  description: Why it was issued anew, or would be; empty where all is as asked.
  returned: success
  type: list
  elements: str
"""

import contextlib
import fcntl
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    from configobj import ConfigObj, ConfigObjError
except ImportError:  # it comes with certbot: without it there is no lineage to read either
    ConfigObj = None

HOME = Path("/etc/letsencrypt")
AUTHENTICATORS = {"http": "webroot", "dns": "dns-rfc2136"}
CURVE = "secp256r1"
PARTS = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")

BUSY = "Another instance of Certbot is already running"
BUSY_SECONDS = 300
BUSY_PAUSE_SECONDS = 3
# A DNS record takes minutes to be seen, and a certificate may have dozens of names.
CERTBOT_TIMEOUT_SECONDS = 1800
OPENSSL_TIMEOUT_SECONDS = 20
# Lines of certbot's that say nothing about what happened
NOISE = re.compile(
    r"^(Saving debug log to|Ask for help or search|Plugins selected|- - -|Requesting a certificate)"
    r"|^\s*$"
)


class CertbotError(Exception):
    """certbot did not do what it was asked for; the message is its own."""


def read_settings(file: Path) -> dict[str, str]:
    """The settings of a renewal configuration; empty where certbot could not read it."""
    if ConfigObj is None or not file.is_file():
        return {}
    try:
        read = ConfigObj(str(file), encoding="utf-8", list_values=False, interpolation=False)
    except (ConfigObjError, UnicodeDecodeError):
        return {}
    found = {**read, **read.get("renewalparams", {})}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def read_names(openssl_text: str) -> set[str]:
    """The DNS names in what `openssl x509 -ext subjectAltName` prints."""
    return {name.lower() for name in re.findall(r"DNS:([^\s,]+)", openssl_text)}


def ask_openssl(certificate: Path, *what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", "x509", "-noout", "-in", str(certificate), *what],
        capture_output=True, text=True, check=False, timeout=OPENSSL_TIMEOUT_SECONDS,
    )  # fmt: skip


def is_whole(name: str, home: Path) -> bool:
    """Whether a lineage has all that certbot needs to renew it: an issue may have been killed."""
    live = home / "live" / name
    settings = home / "renewal" / f"{name}.conf"
    if not all((live / part).is_file() for part in PARTS):
        return False
    if not {"fullchain", "server"} <= set(read_settings(settings)):
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            live / "fullchain.pem", live / "privkey.pem"
        )
    except (OSError, ssl.SSLError):
        return False
    return True


def setting_reasons(asked: dict[str, Any], settings: dict[str, str]) -> list[str]:
    """In which settings a lineage differs from what is asked for."""
    wanted = {
        "server": asked["server"],
        "authenticator": AUTHENTICATORS[asked["challenge"]],
        "key_type": "ecdsa",
        "elliptic_curve": CURVE,
    }
    found = {"elliptic_curve": CURVE, **settings}  # certbot's default is not written down
    if asked["challenge"] == "http":
        wanted["webroot_path"] = asked["webroot"]
        found["webroot_path"] = settings.get("webroot_path", "").strip(",")
    else:
        wanted["dns_rfc2136_credentials"] = asked["credentials_file"]
        wanted["dns_rfc2136_propagation_seconds"] = str(asked["propagation_seconds"])
    return [
        f"its {setting} was {found.get(setting, 'unknown')}, {value} is wanted"
        for setting, value in wanted.items()
        if found.get(setting) != value
    ]


def reasons(asked: dict[str, Any], home: Path = HOME) -> list[str]:
    """Why a certificate has to be issued; empty where it is as asked."""
    name = asked["name"]
    certificate = home / "live" / name / "fullchain.pem"
    settings = home / "renewal" / f"{name}.conf"
    if not certificate.exists() and not settings.exists():
        return ["there is none"]
    if not is_whole(name, home):
        return ["it is not whole"]
    why = []
    names = read_names(ask_openssl(certificate, "-ext", "subjectAltName").stdout)
    if names != {domain.lower() for domain in asked["domains"]}:
        why.append(f"it was for {', '.join(sorted(names))}")
    found = read_settings(settings)
    why += setting_reasons(asked, found)
    if not any((home / "accounts").rglob(found.get("account") or "none")):
        why.append("the account that it was issued for is gone")
    if ask_openssl(certificate, "-checkend", "0").returncode != 0:
        why.append("it has expired")
    return why


def issue_arguments(asked: dict[str, Any]) -> list[str]:
    """Arguments of certbot that issue a certificate, whatever there was before."""
    # The hook of the role puts it into use, on all releases in the same way.
    common = ["certonly", "--non-interactive", "--agree-tos", "--no-directory-hooks"]
    common += ["--email", asked["email"], "--no-eff-email", "--server", asked["server"]]
    common += ["--cert-name", asked["name"], "--force-renewal", "--renew-with-new-domains"]
    common += ["--key-type", "ecdsa", "--elliptic-curve", CURVE]
    for domain in asked["domains"]:
        common += ["--domain", domain]
    if asked["challenge"] == "http":
        return [*common, "--webroot", "--webroot-path", asked["webroot"]]
    return [
        *common,
        *("--dns-rfc2136", "--dns-rfc2136-credentials", asked["credentials_file"]),
        *("--dns-rfc2136-propagation-seconds", str(asked["propagation_seconds"])),
    ]


def quoted(output: str) -> str:
    """certbot's words without the lines that say nothing."""
    lines = [line for line in output.splitlines() if not NOISE.match(line)]
    return "\n".join(lines).strip() or "it gave no reason, see /var/log/letsencrypt"


def certbot(arguments: list[str], ca_file: str = "") -> None:
    """Run certbot to its end, after whoever uses it now; CertbotError with its words."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    if ca_file:
        environment["REQUESTS_CA_BUNDLE"] = ca_file
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            done = subprocess.run(
                ["certbot", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=CERTBOT_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise CertbotError(f"it did not end within {CERTBOT_TIMEOUT_SECONDS} s") from None
        if done.returncode == 0:
            return
        said = done.stdout + done.stderr
        if BUSY not in said or time.monotonic() > deadline:
            raise CertbotError(quoted(said))
        time.sleep(BUSY_PAUSE_SECONDS)


def clear(name: str, home: Path = HOME) -> None:
    """Remove what is there of a lineage; the settings last, as they are what names it."""
    shutil.rmtree(home / "live" / name, ignore_errors=True)
    shutil.rmtree(home / "archive" / name, ignore_errors=True)
    (home / "renewal" / f"{name}.conf").unlink(missing_ok=True)


def is_there(name: str, home: Path = HOME) -> bool:
    """Whether anything of a lineage is there."""
    places = (home / "live" / name, home / "archive" / name, home / "renewal" / f"{name}.conf")
    return any(place.exists() for place in places)


@contextlib.contextmanager
def idle(home: Path = HOME) -> Iterator[None]:
    """Keep certbot from starting, once whoever runs it has ended: it locks the same file."""
    with open(home / ".certbot.lock", "w", encoding="ascii") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def issue(asked: dict[str, Any]) -> None:
    """Have a certificate issued, on a clean place where what is there is of no use."""
    with idle():
        if not is_whole(asked["name"], HOME):
            clear(asked["name"])
    certbot(issue_arguments(asked), asked["ca_file"])
    left = reasons(asked)
    if left:
        raise CertbotError(f"it was issued, and still {'; '.join(left)}")


def delete(name: str) -> None:
    """Delete a lineage, or what is there of it."""
    if is_whole(name, HOME):
        certbot(["delete", "--non-interactive", "--cert-name", name])
    with idle():
        clear(name)


def ensure(asked: dict[str, Any], dry_run: bool) -> list[str]:
    """Bring the lineage to what is asked for; why that was necessary, empty where it was not."""
    if asked["state"] == "absent":
        if not is_there(asked["name"]):
            return []
        if not dry_run:
            delete(asked["name"])
        return ["it is wanted no longer"]
    why = reasons(asked)
    if why and not dry_run:
        issue(asked)
    return why


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "domains": {"type": "list", "elements": "str", "default": []},
            "challenge": {"type": "str", "choices": ["http", "dns"], "default": "http"},
            "server": {"type": "str"},
            "email": {"type": "str"},
            "ca_file": {"type": "str", "default": ""},
            "webroot": {"type": "path"},
            "credentials_file": {"type": "path"},
            "propagation_seconds": {"type": "int", "default": 60},
        },
        required_if=[("state", "present", ["domains", "server", "email"])],
        supports_check_mode=True,
    )
    asked = module.params
    try:
        why = ensure(asked, module.check_mode)
    except (CertbotError, OSError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=f"{asked['name']}: {error}")
    module.exit_json(changed=bool(why), reasons=why)


if __name__ == "__main__":
    main()
