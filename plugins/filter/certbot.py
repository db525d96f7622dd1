"""What is wrong with the public certificates that an inventory asks for."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

CHALLENGES = ("http", "dns")
# What Debian's certbot-dns-rfc2136 knows
ALGORITHMS = (
    "HMAC-MD5", "HMAC-SHA1", "HMAC-SHA224", "HMAC-SHA256", "HMAC-SHA384", "HMAC-SHA512",
)  # fmt: skip
MOST_DOMAINS = 100  # Let's Encrypt's limit for one certificate
_LONGEST_DOMAIN = 253

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_EMAIL = re.compile(r"[^@\s,]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")

Certificate = Mapping[str, Any]
HINT = "certbot_certificates:"


def _is_domain(name: str) -> bool:
    return bool(_DOMAIN.fullmatch(name)) and len(name) <= _LONGEST_DOMAIN


def _problems_of_certificate(certificate: Certificate) -> list[str]:
    name = str(certificate.get("name") or "")
    where = f"{HINT} {name or 'one without a name'}"
    problems = []
    if not _is_domain(name):
        problems.append(
            f"{where}: the name must look like a domain in lower case, as in status.example.com"
        )
    domains = [str(domain) for domain in certificate.get("domains") or []]
    if not domains:
        problems.append(f"{where}: needs at least one domain")
    if len(domains) > MOST_DOMAINS:
        problems.append(f"{where}: has {len(domains)} domains; {MOST_DOMAINS} are possible")
    challenge = certificate.get("challenge", "http")
    if challenge not in CHALLENGES:
        problems.append(f"{where}: challenge is http or dns, got {challenge}")
    for domain, count in Counter(domains).items():
        if count > 1:
            problems.append(f"{where}: {domain} stands there {count} times")
        if not _is_domain(domain.removeprefix("*.")):
            problems.append(
                f"{where}: {domain!r} is no domain name; write it in lower case, without scheme "
                "and port, and letters beyond ASCII in the form xn--…"
            )
        elif domain.startswith("*.") and challenge == "http":
            problems.append(f"{where}: {domain} can be had with challenge: dns alone")
    return problems


def _problems_of_account(email: str, agreed: bool) -> list[str]:
    problems = []
    if not email:
        problems.append("certbot_email is missing: whom the CA writes to when something is wrong")
    elif not _EMAIL.fullmatch(email):
        problems.append(f"certbot_email must be one address, as in admin@example.com, got {email}")
    if not agreed:
        problems.append(
            "certbot_agree_terms must be true: read the terms of service of your CA, and agree"
        )
    return problems


def _problems_of_server(server: str, staging_of: str, staging: bool) -> list[str]:
    if not re.fullmatch(r"https://[^\s/]+(/\S*)?", server):
        return [f"certbot_server must be the https URL of an ACME directory, got {server}"]
    if staging and server != staging_of:
        return ["certbot_staging is Let's Encrypt's: leave it false with a certbot_server of yours"]
    return []


def _problems_of_dns(dns: Mapping[str, Any]) -> list[str]:
    where = "certbot_dns_rfc2136"
    missing = [key for key in ("server", "name", "secret") if not dns.get(key)]
    if missing:
        return [
            f"{where} needs {', '.join(missing)}: a certificate has challenge: dns, and the name "
            "server takes updates with a TSIG key alone"
        ]
    problems = []
    try:
        ipaddress.ip_address(str(dns["server"]))
    except ValueError:
        problems.append(f"{where}: server must be an IP address, got {dns['server']}")
    if dns.get("algorithm", ALGORITHMS[0]) not in ALGORITHMS:
        problems.append(f"{where}: algorithm is one of {', '.join(ALGORITHMS)}")
    if not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", str(dns["secret"])):
        problems.append(f"{where}: secret must be the base64 text of the key, in one line")
    return problems


def certbot_problems(certificates: Sequence[Certificate], settings: Mapping[str, Any]) -> list[str]:
    """One sentence for each mistake, with its fix; no secret in any.

    `settings` has `email`, `agree_terms`, `server`, `default_server`, `staging` and `dns`. Without
    certificates nothing is asked of them.
    """
    if not certificates:
        return []
    problems = _problems_of_account(str(settings["email"]), bool(settings["agree_terms"]))
    problems += _problems_of_server(
        str(settings["server"]), str(settings["default_server"]), bool(settings["staging"])
    )
    for name, count in Counter(str(entry.get("name")) for entry in certificates).items():
        if count > 1:
            problems.append(f"{HINT} {count} are named {name}; give each a name of its own")
    for certificate in certificates:
        problems += _problems_of_certificate(certificate)
    if any(entry.get("challenge") == "dns" for entry in certificates):
        problems += _problems_of_dns(settings["dns"])
    return problems


def certbot_checks(names: Sequence[str], hook: str) -> list[dict[str, Any]]:
    """What `playbooks/verify.yml` asks about each certificate."""
    return [
        {"name": f"the certificate {name} is served and valid", "argv": [hook, "--verify", name]}
        for name in names
    ]


def certbot_troubles(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What failed in the results of tasks, with or without a loop, in the words that were said."""
    single = [item for result in results for item in result.get("results", [result])]
    return [
        str(item.get("stderr") or item.get("msg") or "no reason given")
        for item in single
        if item.get("failed")
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "certbot_checks": certbot_checks,
            "certbot_problems": certbot_problems,
            "certbot_troubles": certbot_troubles,
        }
