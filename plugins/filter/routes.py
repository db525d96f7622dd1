"""The gateway's routes: what the roles registered, put together, and what is wrong with it."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

# A name becomes a part of file names, of nginx.conf and of log lines.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
# nginx matches paths decoded; a character that needs encoding would never match.
_PATH = re.compile(r"/([A-Za-z0-9._~-]+/)+")
_REFUSED = re.compile(r"/[A-Za-z0-9._~/-]*")
_SERVER_NAME = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]*[a-z]")
# What becomes a quoted string of nginx.conf, or a line of the portal.
_LINE = re.compile(r"[^\x00-\x1f\x7f]+")
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
# A check of one password keeps a worker busy: about 20 ms at 8, 80 ms at 10, 350 ms at 12.
_COST = range(8, 13)
# Words that log lines have in place of a route's name.
_NOT_ROUTES = ("portal", "other", "redirect", "acme")
# First parts of a path that the gateway serves itself.
_OWN_PARTS = ("portal", ".well-known")
_SIGN_IN = ("basic", "own", "none")
_KEYS = {
    *("name", "title", "path", "server_name", "upstream", "purpose", "job", "sign_in"),
    *("websocket", "keep_path", "spread", "refuse"),
}
# What differs between the files of one route that several hosts serve.
_OF_THE_HOST = ("host", "address", "file")

Route = dict[str, Any]
LOOPBACK = "127.0.0.1"


def is_address(text: object) -> bool:
    """Whether it is an IP address as it stands."""
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def dns_names(names: Sequence[Any]) -> list[str]:
    """The names among names and addresses, each once, in lower case as a browser asks for them."""
    return list(dict.fromkeys(str(n).lower() for n in names if n and not is_address(n)))


def _is_path(path: object) -> bool:
    """Whether it has a slash at both ends, characters that need no encoding, and no dots."""
    parts = str(path).split("/")
    return bool(_PATH.fullmatch(str(path))) and not {".", ".."} & set(parts)


def _problems_of_place(route: Mapping[str, Any]) -> list[str]:
    path, name = route.get("path"), route.get("server_name")
    if bool(path) == bool(name):
        return ["it needs either path, as in /shop/, or server_name, as in shop.example.com"]
    if name:
        good = _SERVER_NAME.fullmatch(str(name))
        return [] if good else [f"server_name must be a DNS name in lower case, got {name!r}"]
    if not _is_path(path):
        return [f"path must begin and end with a slash, as in /shop/, got {path!r}"]
    if str(path).split("/")[1] in _OWN_PARTS:
        return [f"path {path} belongs to the gateway itself: take another one"]
    return []


def _problems_of_upstream(route: Mapping[str, Any]) -> list[str]:
    upstream = route.get("upstream")
    if not isinstance(upstream, Mapping) or set(upstream) != {"scheme", "port"}:
        return ["upstream must be a mapping, as in {scheme: https, port: 9090}"]
    problems = []
    if upstream["scheme"] not in ("http", "https"):
        problems.append(f"scheme of upstream must be http or https, got {upstream['scheme']!r}")
    port = upstream["port"]
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:  # noqa: PLR2004
        problems.append(f"port of upstream must be a number up to 65535, got {port!r}")
    if upstream["scheme"] == "http" and route.get("address", LOOPBACK) != LOOPBACK:
        problems.append(
            f"its upstream is http on {route.get('host')}, another host than the gateway: between "
            "hosts it has to be https"
        )
    return problems


def route_problems(route: Mapping[str, Any]) -> list[str]:
    """What is wrong with one route, whatever others there are; one sentence for each mistake."""
    problems = []
    if not _NAME.fullmatch(str(route.get("name", ""))):
        problems.append(
            f"name must be of a-z, 0-9, hyphens and underscores, got {route.get('name')!r}"
        )
    if route.get("name") in _NOT_ROUTES:
        problems.append(f"the name {route['name']} belongs to the gateway itself: take another one")
    unknown = sorted(str(key) for key in set(route) - _KEYS - set(_OF_THE_HOST))
    if unknown:
        problems.append(f"a route has no {', '.join(unknown)}")
    problems += [
        f"{key} must be a text of one line"
        for key in ("purpose", "title")
        if not _LINE.fullmatch(str(route.get(key, "x")))
    ]
    if route.get("sign_in", "basic") not in _SIGN_IN:
        problems.append(f"sign_in must be one of {', '.join(_SIGN_IN)}, got {route['sign_in']!r}")
    problems += [
        f"{key} must be true or false, got {route[key]!r}"
        for key in ("websocket", "keep_path", "spread")
        if not isinstance(route.get(key, False), bool)
    ]
    problems += _problems_of_place(route) + _problems_of_upstream(route)
    problems += [
        f"refuse: {path!r} must begin with a slash, in plain characters"
        for path in route.get("refuse") or []
        if not _REFUSED.fullmatch(str(path))
    ]
    return problems


def routes_read(files: Sequence[Mapping[str, Any]]) -> list[Route]:
    """The routes in files as `slurp` returns them (`source`, `content`), each with its `file`.

    A file that holds none has `problem` in place of a route.
    """
    routes = []
    for file in sorted(files, key=lambda file: str(file["source"])):
        found: Any
        try:
            found = yaml.safe_load(base64.b64decode(file["content"]).decode())
        except (yaml.YAMLError, ValueError) as error:
            found = str(error).splitlines()[0]
        if not isinstance(found, dict):
            found = {"problem": f"it holds no route ({found})"}
        routes.append({**found, "file": str(file["source"])})
    return routes


def _settings(route: Route) -> Route:
    return {key: value for key, value in route.items() if key not in _OF_THE_HOST}


def _problems_between(routes: Sequence[Route], own_names: Sequence[str]) -> list[str]:
    """Routes that stand in each other's way."""
    problems = []
    first: dict[tuple[str, Any], Route] = {}
    for route in routes:
        mine = _settings(route)
        for key in ("name", "path", "server_name"):
            if not route.get(key):
                continue
            other = first.setdefault((key, route[key]), route)
            if _settings(other) == mine:
                continue
            if other["name"] == route["name"]:
                if key == "name":
                    differ = [k for k in sorted({*mine, *other}) if k not in _OF_THE_HOST]
                    differ = [k for k in differ if mine.get(k) != other.get(k)]
                    problems.append(
                        f"{other['file']} and {route['file']}: the same route {route['name']} with "
                        f"different {', '.join(differ)}. Make them equal, or give one another name."
                    )
            else:
                problems.append(
                    f"{other['file']} and {route['file']}: two routes with the {key} {route[key]}. "
                    "Give one of them another; the file of a route that is no more has to go."
                )
        if route.get("server_name") in own_names:
            problems.append(
                f"{route['file']}: server_name {route['server_name']} is the gateway's own name"
            )
    return problems


def routes_problems(
    routes: Sequence[Route],
    hosts: Sequence[str],
    addresses: Mapping[str, str],
    own_names: Sequence[str] = (),
) -> list[str]:
    """One sentence for each mistake, with the files it is in; empty where all hold together.

    `hosts` are those of the inventory, `addresses` what names resolve to on the gateway (see
    `addresses_of`), `own_names` the names of the gateway itself.
    """
    problems = []
    sound = []
    for route in routes:
        file = route["file"]
        wrong = [route["problem"]] if "problem" in route else route_problems(route)
        if not wrong and str(route.get("host")) not in hosts:
            wrong.append(
                f"its host {route.get('host')} is not in the inventory. A run of site.yml without "
                "--limit takes such files away"
            )
        elif not wrong and not addresses.get(str(route.get("address"))):
            wrong.append(
                f"the gateway cannot resolve {route.get('address')}. Add it to the DNS or to "
                f"/etc/hosts, or set register_address of {route.get('host')} to an address"
            )
        problems += [f"{file}: {problem}." for problem in wrong]
        sound += [] if wrong else [route]
    return problems + _problems_between(sound, own_names)


def addresses_of(answers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name -> address from the results of `getent ahosts` over a list (`item`, `stdout`).

    nginx would look a name up itself, and not start while the DNS is down. Of several addresses
    the first one in order, IPv4 before IPv6, so that every run finds the same.
    """
    found = {}
    for answer in answers:
        words = [line.split()[0] for line in str(answer.get("stdout", "")).splitlines() if line]
        candidates = sorted(
            {ipaddress.ip_address(word) for word in words if is_address(word)}, key=_order
        )
        found[str(answer["item"])] = str(candidates[0]) if candidates else ""
    return found


def _order(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[int, int]:
    return address.version, int(address)


def _server(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def routes_merged(routes: Sequence[Route], addresses: Mapping[str, str]) -> list[Route]:
    """One route a name, with `servers` (each `host`, `address` as host:port) by host."""
    merged: dict[str, Route] = {}
    for route in sorted(routes, key=lambda route: (str(route["name"]), str(route["host"]))):
        one = merged.setdefault(str(route["name"]), {**_settings(route), "servers": []})
        address = _server(addresses[str(route["address"])], route["upstream"]["port"])
        one["servers"].append({"host": route["host"], "address": address})
    return list(merged.values())


def refused_pattern(paths: Sequence[str], prefix: str) -> str:
    """The regular expression of what a route refuses, below the path it has on the gateway.

    `/-/` covers `/-` and all below, whatever the case: nginx has decoded and joined the path.
    """
    if not paths:
        return ""
    parts = "|".join(re.escape(path.strip("/")) for path in paths)
    return f"^{re.escape(prefix)}({parts})(/|$)"


def user_problems(users: Mapping[str, Any], make: str) -> list[str]:
    """What is wrong with the users; no hash is in a sentence. `make` is the command for a hash."""
    problems = []
    for name, value in users.items():
        if not _USER.fullmatch(str(name)):
            problems.append(f"{name!r} is no user name: letters, digits, dots, hyphens, @ and _")
        found = _BCRYPT.fullmatch(str(value))
        if not found:
            problems.append(f"{name} has no bcrypt hash. `{make}` makes one")
        elif int(found[1]) not in _COST:
            problems.append(
                f"the hash of {name} has the cost {int(found[1])}, allowed are {_COST[0]} (less is "
                f"guessed too fast) to {_COST[-1]} (more keeps nginx too busy). `{make}` makes one"
            )
    return [f"nginx_users: {problem}." for problem in problems]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "addresses_of": addresses_of,
            "dns_names": dns_names,
            "refused_pattern": refused_pattern,
            "route_problems": route_problems,
            "routes_merged": routes_merged,
            "routes_problems": routes_problems,
            "routes_read": routes_read,
            "user_problems": user_problems,
        }
