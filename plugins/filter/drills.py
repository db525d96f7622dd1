"""Which drill host tries the backups of which hosts, where the inventory does not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Groups = Mapping[str, Sequence[str]]


def drill_shares(
    groups: Groups,
    named: Mapping[str, Sequence[str]],
    kept: Iterable[str],
    judged_in: Sequence[str],
) -> dict[str, list[str]]:
    """The hosts of each drill host for which the inventory names none: all that are left over.

    `named` has the hosts of those for which it does, `kept` those that have backups. A drill host
    tries itself. The others go round among those that can judge them: a host of one of the groups
    `judged_in` has data that takes a server to judge, which a drill host of that group has. Where
    there is none, any drill host tries what it can, and says what it lacks. The order is that of
    the inventory, so that a host that is added last moves no other one.
    """
    drilling = groups.get("restore_drill", [])
    sharing = [host for host in drilling if host not in named]
    taken = {host for hosts in named.values() for host in hosts}
    shares: dict[str, list[str]] = {host: [] if host in taken else [host] for host in sharing}
    has_backups, turns = set(kept), dict[tuple[str, ...], int]()
    for host in groups.get("all", []):
        if not sharing or host in taken or host in sharing or host not in has_backups:
            continue
        needs = [group for group in judged_in if host in groups.get(group, [])]
        able = tuple(
            one for one in sharing if all(one in groups.get(group, []) for group in needs)
        ) or tuple(sharing)
        turn = turns.get(able, 0)
        shares[able[turn % len(able)]].append(host)
        turns[able] = turn + 1
    return {host: hosts or [host] for host, hosts in shares.items()}


def undrilled(groups: Groups, named: Mapping[str, Sequence[str]], kept: Iterable[str]) -> list[str]:
    """Hosts with backups that nobody tries, as every drill host has its hosts named."""
    if set(groups.get("restore_drill", [])) - set(named):
        return []
    taken = {host for hosts in named.values() for host in hosts}
    return [host for host in kept if host not in taken]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_shares": drill_shares, "undrilled": undrilled}
