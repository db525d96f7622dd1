"""Which ports a host opens, and to whom, from what its roles declared."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY = "any"
PROTOCOLS = ("tcp", "udp")
MAX_PORT = 65535
# A name becomes the name of a file and a comment in the rule set.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def network(source: str) -> Network | None:
    """The source as a network; None where it is a name."""
    try:
        return ipaddress.ip_network(source, strict=False)
    except ValueError:
        return None


def is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PORT


def port_problems(opening: Any, known: Iterable[str]) -> list[str]:
    """What is wrong with one declared port; `known` are the groups that a source may name."""
    if not isinstance(opening, Mapping):
        return [
            f"A declared port is a mapping of name, port, protocol and sources, got {opening!r}."
        ]
    name = opening.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return [
            "A declared port needs a name of letters, digits, dots, hyphens and underscores, "
            f"got {name!r}."
        ]
    problems = []
    if not is_port(opening.get("port")):
        problems.append(
            f"{name}: port must be a number from 1 to {MAX_PORT}, got {opening.get('port')!r}."
        )
    if opening.get("protocol", PROTOCOLS[0]) not in PROTOCOLS:
        problems.append(f"{name}: protocol must be tcp or udp, got {opening['protocol']!r}.")
    sources = opening.get("sources")
    if not isinstance(sources, Sequence) or isinstance(sources, str) or not sources:
        problems.append(
            f"{name}: sources must be a list with at least one entry, as in [monitoring] or [any], "
            f"got {sources!r}."
        )
        return problems
    problems += [
        f"{name}: the source {source!r} is no group of the inventory, no IPv4 or IPv6 address or "
        f"network, and not the word any. The groups are {', '.join(sorted(known))}."
        for source in sources
        if source != ANY and source not in known and network(str(source)) is None
    ]
    return problems


def firewall_problems(
    openings: Iterable[Any], groups: Iterable[str], known: Iterable[str] = ()
) -> list[str]:
    """One sentence for each mistake in a list of declared ports, with its fix.

    `groups` are those of the inventory, `known` those that a site may have and need not.
    """
    names = {*groups, *known}
    return [problem for opening in openings for problem in port_problems(opening, names)]


def firewall_hosts(
    openings: Iterable[Mapping[str, Any]], groups: Mapping[str, Sequence[str]], own: str
) -> list[str]:
    """The other hosts of the inventory that some declared port is open to."""
    named = {source for opening in openings for source in opening["sources"]}
    hosts = {host for group in named & set(groups) for host in groups[group]}
    # What a host sends to its own address takes the loopback interface.
    return sorted(hosts - {own})


def firewall_named(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The register_address of each host: an address or a name, by default the inventory's."""
    return {host: str(hostvars[host].get("register_address") or host) for host in hosts}


def firewall_addresses(
    named: Mapping[str, str], resolved: str, hostvars: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[str]]:
    """The addresses of each host; an empty list where none is known.

    `named` is each host's register_address, `resolved` lines of `<name> <address>` from the
    resolver. Where the resolver is silent, the address that the host itself reported is taken.
    """
    found: dict[str, set[str]] = {}
    for line in resolved.splitlines():
        name, _, text = line.partition(" ")
        address = ipaddress.ip_address(text.partition("%")[0])
        # A link-local one belongs to an interface; another host may have it at the next.
        if not (address.is_loopback or address.is_link_local):
            found.setdefault(name, set()).add(str(address))
    addresses = {}
    for host, name in named.items():
        facts = hostvars[host].get("ansible_facts") or {}
        reported = (facts.get("default_ipv4") or {}).get("address")
        if network(name) is not None:
            addresses[host] = [name]
        else:
            addresses[host] = sorted(found.get(name, [])) or ([reported] if reported else [])
    return addresses


def collapsed(networks: Iterable[Network], version: int) -> list[str]:
    """Networks of one family without what others of them hold: nft refuses overlaps in a set."""
    family: list[Any] = [one for one in networks if one.version == version]
    return [
        str(one.network_address) if one.num_addresses == 1 else str(one)
        for one in ipaddress.collapse_addresses(family)
    ]


def firewall_rules(
    openings: Iterable[Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    addresses: Mapping[str, Sequence[str]],
) -> list[str]:
    """The lines of nft that open the declared ports, in the order of ports."""
    rules = []
    for opening in openings:
        protocol = opening.get("protocol", PROTOCOLS[0])
        match = f"{protocol} dport {opening['port']}"
        verdict = f'accept comment "{opening["name"]}"'
        key = (opening["port"], protocol, opening["name"])
        if ANY in opening["sources"]:
            rules.append((key, f"{match} {verdict}"))
            continue
        networks = [one for source in opening["sources"] if (one := network(str(source)))]
        networks += [
            one
            for source in opening["sources"]
            for host in groups.get(source, ())
            for address in addresses.get(host, ())
            if (one := network(address))
        ]
        for family, version in (("ip", 4), ("ip6", 6)):
            if sources := collapsed(networks, version):
                rules.append((key, f"{family} saddr {{ {', '.join(sources)} }} {match} {verdict}"))
    return list(dict.fromkeys(rule for _, rule in sorted(rules)))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "firewall_problems": firewall_problems,
            "firewall_hosts": firewall_hosts,
            "firewall_named": firewall_named,
            "firewall_addresses": firewall_addresses,
            "firewall_rules": firewall_rules,
        }
