"""What is wrong with targets and modules of the blackbox exporter, and what Prometheus scrapes."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

DEFAULT_MODULE = "http_2xx"
PROBERS = ("http", "tcp", "icmp", "dns", "grpc")
# Prometheus gives up a scrape after 10 s, and the exporter half a second before that.
LONGEST_TIMEOUT_SECONDS = 9

_URL = re.compile(r"https?://[^\s/]+\S*")
_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_HOST_AND_PORT = re.compile(rf"{_HOST}:([0-9]+)")
_HOST_ALONE = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
_MS_PER_SECOND = 1000
_LAST_PORT = 65535

Module = Mapping[str, Any]
Target = Mapping[str, Any]


def _module_of(target: Target) -> str:
    return str(target.get("module") or DEFAULT_MODULE)


def _problem_of_address(address: str, prober: str) -> str | None:
    """What is wrong with an address for a prober, or None."""
    if prober == "http":
        if not _URL.fullmatch(address):
            bare = address.rsplit("://", maxsplit=1)[-1]
            return f"needs a URL with its scheme, as in https://{bare}"
    elif prober in ("tcp", "grpc"):
        bare = address.rsplit("://", maxsplit=1)[-1].rstrip("/")
        match = _HOST_AND_PORT.fullmatch(address)
        if not match:
            return f"needs host and port, as in {bare if ':' in bare else bare + ':443'}"
        if not 0 < int(match[2]) <= _LAST_PORT:
            return f"has the port {match[2]}, which must be from 1 to {_LAST_PORT}"
    elif prober == "icmp" and not _HOST_ALONE.fullmatch(address):
        return "needs a host name or an address and nothing else, as in 192.0.2.1"
    return None


def _problem_of_seconds(seconds: object) -> str | None:
    fits = (
        isinstance(seconds, int | float)
        and not isinstance(seconds, bool)
        and math.isfinite(seconds)
        and 0 < seconds <= LONGEST_TIMEOUT_SECONDS
    )
    if fits:
        return None
    return (
        f"must be more than 0 and at most {LONGEST_TIMEOUT_SECONDS} seconds (Prometheus waits 10), "
        f"got {seconds!r}"
    )


def _problem_of_timeout(timeout: object) -> str | None:
    match = _DURATION.fullmatch(str(timeout))
    if not match:
        return f"must be a number and s or ms, such as 5s, got {timeout!r}"
    seconds = float(match[1]) / (_MS_PER_SECOND if match[2] == "ms" else 1)
    return _problem_of_seconds(seconds)


def _problems_of_modules(modules: Mapping[str, Module]) -> list[str]:
    problems = []
    for name, module in modules.items():
        where = f"blackbox_exporter_modules: {name}"
        if not isinstance(module, Mapping):
            problems.append(f"{where} must be a mapping with a prober")
            continue
        if module.get("prober") not in PROBERS:
            problems.append(
                f"{where}: prober must be one of {', '.join(PROBERS)}, got {module.get('prober')!r}"
            )
        if "timeout" in module and (wrong := _problem_of_timeout(module["timeout"])):
            problems.append(f"{where}: timeout {wrong}")
    return problems


def blackbox_problems(
    targets: Sequence[Target], modules: Mapping[str, Module], timeout_seconds: float
) -> list[str]:
    """One sentence for each mistake, with its fix; empty where there is none."""
    problems = []
    if wrong := _problem_of_seconds(timeout_seconds):
        problems.append(f"blackbox_exporter_timeout_seconds {wrong}")
    problems += _problems_of_modules(modules)
    for name, count in Counter(str(target.get("name")) for target in targets).items():
        if count > 1:
            problems.append(
                f"blackbox_exporter_targets: {count} targets are named {name}: their metrics would "
                "be one series; give each a name of its own"
            )
    for number, target in enumerate(targets, 1):
        name, address = str(target.get("name") or ""), str(target.get("target") or "")
        where = f"blackbox_exporter_targets: {name or f'number {number}'}"
        if not name.strip() or not address:
            problems.append(f"{where} needs a name and a target")
            continue
        module = _module_of(target)
        if module not in modules:
            near = difflib.get_close_matches(module, modules, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            problems.append(
                f"{where}: unknown module {module}: {hint}There are {', '.join(sorted(modules))}; "
                "one of your own goes into blackbox_exporter_modules."
            )
            continue
        own = modules[module]
        prober = str(own.get("prober")) if isinstance(own, Mapping) else ""
        if wrong := _problem_of_address(address, prober):
            problems.append(f"{where}: the module {module} {wrong}, got {address}")
    return problems


def blackbox_modules(
    modules: Mapping[str, Module], timeout_seconds: float
) -> dict[str, dict[str, Any]]:
    """The modules, each with a timeout."""
    return {
        name: {"timeout": f"{timeout_seconds:g}s", **module} for name, module in modules.items()
    }


def blackbox_needs_raw_socket(targets: Sequence[Target], modules: Mapping[str, Module]) -> bool:
    """Whether a target is pinged."""
    return any(modules[_module_of(target)].get("prober") == "icmp" for target in targets)


def blackbox_scrape_targets(
    targets: Sequence[Target], exporter: str, host: str
) -> list[dict[str, Any]]:
    """Target groups for Prometheus: the exporter's address, and in the labels what it is to probe.

    Prometheus builds the request from the labels that begin with two underscores, and drops them.
    """
    return [
        {
            "targets": [exporter],
            "labels": {
                "instance": str(target["name"]),
                "module": _module_of(target),
                "target": str(target["target"]),
                "prober": host,
                "__metrics_path__": "/probe",
                "__param_module": _module_of(target),
                "__param_target": str(target["target"]),
            },
        }
        for target in targets
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "blackbox_modules": blackbox_modules,
            "blackbox_needs_raw_socket": blackbox_needs_raw_socket,
            "blackbox_problems": blackbox_problems,
            "blackbox_scrape_targets": blackbox_scrape_targets,
        }
