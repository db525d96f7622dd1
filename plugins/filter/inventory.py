"""What is wrong with an inventory, found before a host is touched."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Host names become file names, label values and names in certificates.
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_BUILT_IN_GROUPS = ("all", "ungrouped")


def inventory_problems(
    groups: Mapping[str, Sequence[str]], known: Sequence[str], addresses: Mapping[str, str]
) -> list[str]:
    """One sentence for each mistake, with its fix; empty for an inventory that holds together.

    `groups` is Ansible's mapping of group to hosts, `known` the groups a site may have,
    `addresses` the address that each host has in the inventory, or an empty string.
    """
    problems = []
    for group in sorted(set(groups) - set(known) - set(_BUILT_IN_GROUPS)):
        near = difflib.get_close_matches(group, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        problems.append(
            f"Unknown group {group}: {hint}If it is one of your own, add it to "
            "preflight_own_groups."
        )
    if not groups.get("monitoring"):
        problems.append("No host in the group monitoring: one host at least has to run Prometheus.")
    problems += [
        f"Host name {host!r}: use letters, digits, dots and hyphens only."
        for host in sorted(groups.get("all", []))
        if not _HOST_NAME.fullmatch(host)
    ]
    hosts_at: dict[str, list[str]] = {}
    for host, address in addresses.items():
        if address:
            hosts_at.setdefault(str(address), []).append(host)
    for address, hosts in sorted(hosts_at.items()):
        if len(hosts) > 1:
            problems.append(
                f"{' and '.join(sorted(hosts))} have the same register_address {address}: "
                "one host would be scraped twice and the other never."
            )
    return problems


def site_folder(source: str) -> str:
    """Return the folder of an inventory, which may be that folder or a file in it."""
    path = Path(source)
    return str(path if path.is_dir() else path.parent)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"inventory_problems": inventory_problems, "site_folder": site_folder}
