"""Alertmanager's receivers from the teams of an inventory, and what is wrong with them."""

from __future__ import annotations

import base64
import copy
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

# What Alertmanager takes for a duration: 30s, 5m, 4h, 1h30m.
_DURATION = re.compile(r"([0-9]+(y|w|d|h|m|s|ms))+")
_URL = re.compile(r"https?://[^\s/]+.*")
_HOST_AND_PORT = re.compile(r"\S+:[0-9]+")
_MAIL_ADDRESS = re.compile(r"[^\s@,]+@[^\s@,]+")
_WAYS = ("email_to", "webhook_urls")

Receiver = dict[str, Any]


def alertmanager_receivers(
    names: Sequence[str],
    teams: Mapping[str, Mapping[str, Sequence[str]]],
    extra: Sequence[Mapping[str, Any]],
    mail: Mapping[str, Any],
) -> list[Receiver]:
    """One receiver for each team, and the extra ones after them.

    Each address is a notification of its own, so that one that is refused keeps no other from its
    mail. `mail` holds what every mail has. An extra receiver named like a team is added to it.
    """
    receivers: dict[str, Receiver] = {}
    for name in names:
        own = teams.get(name) or {}
        receivers[name] = {
            "name": name,
            "email_configs": [
                {**copy.deepcopy(dict(mail)), "to": to} for to in own.get("email_to") or []
            ],
            "webhook_configs": [
                {"url": url, "send_resolved": True} for url in own.get("webhook_urls") or []
            ],
        }
    for more in extra:
        receiver = receivers.setdefault(more["name"], {"name": more["name"]})
        for key, value in more.items():
            if key != "name":
                receiver[key] = [*receiver.get(key, []), *value]
    return [{k: v for k, v in receiver.items() if v} for receiver in receivers.values()]


def alertmanager_unreached(names: Sequence[str], receivers: Sequence[Receiver]) -> list[str]:
    """Teams with nobody behind their receiver."""
    reached = {str(receiver["name"]) for receiver in receivers if len(receiver) > 1}
    return [name for name in names if name not in reached]


def _problems_of_team(name: str, own: object) -> list[str]:
    where = f"alertmanager_teams: {name}"
    if not isinstance(own, Mapping):
        return [f"{where} must be a mapping with email_to and webhook_urls"]
    problems = [
        f"{where}: there is no {key}, only {' and '.join(_WAYS)}; what else there is goes into "
        "alertmanager_extra_receivers"
        for key in own
        if key not in _WAYS
    ]
    for way in _WAYS:
        values = own.get(way) or []
        if isinstance(values, str) or not isinstance(values, Sequence):
            problems.append(f"{where}: {way} must be a list, as in {way}: [...]")
            continue
        for number, value in enumerate(values, 1):
            if way == "email_to" and not _MAIL_ADDRESS.fullmatch(str(value)):
                problems.append(
                    f"{where}: {value!r} of email_to must be one address, as in admin@example.com"
                )
            # The URL itself may be a secret, so only its place is said.
            if way == "webhook_urls" and not _URL.fullmatch(str(value)):
                problems.append(
                    f"{where}: number {number} of webhook_urls must begin with http:// or https:// "
                    "and a host"
                )
    return problems


def _problems_of_mail(
    teams: Mapping[str, Any], extra: Sequence[Mapping[str, Any]], smtp: Mapping[str, str]
) -> list[str]:
    server, sender = smtp["alertmanager_smtp_smarthost"], smtp["alertmanager_smtp_from"]
    mailed = [
        name for name, own in teams.items() if isinstance(own, Mapping) and own.get("email_to")
    ] + [str(more.get("name")) for more in extra if more.get("email_configs")]
    problems = []
    if mailed and not server:
        problems.append(
            f"alertmanager_smtp_smarthost is empty, and {', '.join(sorted(set(mailed)))} wants "
            "mail: set it to the mail server, as in mail.example.com:587"
        )
    if server and not _HOST_AND_PORT.fullmatch(server):
        problems.append(
            "alertmanager_smtp_smarthost must be host:port, as in mail.example.com:587, got "
            f"{server!r}"
        )
    if server and not sender:
        problems.append(
            "alertmanager_smtp_from is empty: set it to the sender of the mails, as in "
            "lookout@example.com"
        )
    if bool(smtp["alertmanager_smtp_username"]) != bool(smtp["alertmanager_smtp_password"]):
        problems.append(
            "alertmanager_smtp_username and alertmanager_smtp_password belong together: set both "
            "or neither"
        )
    return problems


def alertmanager_problems(
    names: Sequence[str],
    teams: Mapping[str, Any],
    extra: Sequence[Mapping[str, Any]],
    *,
    reserved: Sequence[str],
    smtp: Mapping[str, str],
    urls: Mapping[str, str],
    durations: Mapping[str, str],
) -> list[str]:
    """One sentence for each mistake, with its fix; empty for settings that hold together.

    `names` are the teams there are, `reserved` names of receivers that the role has itself. `smtp`,
    `urls` and `durations` are variables by name. No URL and no password is in a sentence.
    """
    problems = []
    for name, own in teams.items():
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            problems.append(
                f"alertmanager_teams: unknown team {name}: {hint}The teams of the alerts are "
                f"{', '.join(names)}; others take alertmanager_extra_receivers and "
                "alertmanager_extra_routes."
            )
        else:
            problems += _problems_of_team(name, own)
    for number, more in enumerate(extra, 1):
        if not more.get("name"):
            problems.append(f"alertmanager_extra_receivers: number {number} has no name")
        elif more["name"] in reserved:
            problems.append(
                f"alertmanager_extra_receivers: {more['name']} is the role's own, take another name"
            )
    problems += _problems_of_mail(teams, extra, smtp)
    problems += [
        f"{variable} must begin with http:// or https:// and a host"
        for variable, url in urls.items()
        if url and not _URL.fullmatch(url)
    ]
    problems += [
        f"{variable} must be a number and one of y, w, d, h, m, s, such as 4h, got {value!r}"
        for variable, value in durations.items()
        if not _DURATION.fullmatch(str(value))
    ]
    return problems


def alertmanager_switches(
    files: Sequence[Mapping[str, Any]], outside: str, tls: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the webhooks of all who wait for the Watchdog: one outside, those that registered.

    `files` are the results of slurp; those that it left out have no content.
    """
    hooks: list[dict[str, Any]] = [{"url": outside, "send_resolved": False}] if outside else []
    registered = sorted(
        yaml.safe_load(base64.b64decode(file["content"]))["url"]
        for file in files
        if "content" in file
    )
    return hooks + [
        {"url": url, "send_resolved": False, "http_config": {"tls_config": dict(tls)}}
        for url in registered
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "alertmanager_problems": alertmanager_problems,
            "alertmanager_switches": alertmanager_switches,
            "alertmanager_receivers": alertmanager_receivers,
            "alertmanager_unreached": alertmanager_unreached,
        }
