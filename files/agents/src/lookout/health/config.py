"""What is checked, as the operator and the roles of the host's services say it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lookout.health.endpoints import Tls
from lookout.kit.config import option
from lookout.kit.options import Options

# systemd's names; a pattern such as postgresql@*.service would match several units.
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.(service|socket|timer|target|mount|path|slice|swap)")
_MAX_PORT = 65535


@dataclass(frozen=True)
class Disk:
    """A path, whose filesystem is judged. The node exporter's alerts judge disks already."""

    path: Path
    # Requirement D: past 90 % used
    used_percent: float = option(90.0, at_least=1, at_most=100)
    inodes_used_percent: float = option(90.0, at_least=1, at_most=100)
    limit_seconds: float = option(5.0, at_least=0.1, at_most=120)
    # Whether Prometheus fires an alert
    alert: bool = False


@dataclass(frozen=True)
class Timer:
    """A timer, which has to be active, and to have run within so many hours."""

    name: str
    max_age_hours: float | None = option(None, at_least=0.01)

    def problems(self) -> Iterator[str]:
        """What is wrong across the keys."""
        if not (_UNIT.fullmatch(self.name) and self.name.endswith(".timer")):
            yield f"name: {self.name!r} is no name of a timer, such as certbot.timer"


@dataclass(frozen=True)
class Endpoint:
    """An address that has to answer as said."""

    url: str
    # How it is called; the address where empty
    name: str = ""
    statuses: tuple[int, ...] = (200,)
    contains: str = ""
    # Whose CA signed its certificate
    trust: Literal["site", "system"] = "site"
    limit_seconds: float = option(10.0, at_least=0.1, at_most=120)
    alert: bool = True

    def problems(self) -> Iterator[str]:
        """What is wrong across the keys."""
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        if not good or not self.url.isascii() or re.search(r"\s", self.url):
            yield f"url: {self.url!r} is no address such as https://app1:8443/health"
        elif parts.username is not None:
            yield "url: a password in an address stands in logs; ask an address that needs none"
        if not self.statuses:
            yield "statuses: name one status at least"


@dataclass(frozen=True)
class Certificate:
    """A certificate, in a file or shown by a server."""

    path: Path | None = None
    # host:port of a server
    address: str = ""
    # The name to ask for, where it is not the host
    server_name: str = ""
    # It should be good for so many more days
    days: float = option(14.0, at_least=0)
    limit_seconds: float = option(10.0, at_least=0.1, at_most=120)
    alert: bool = True

    @property
    def name(self) -> str:
        """How it is called."""
        return f"{self.address}/{self.server_name}".rstrip("/") if self.address else str(self.path)

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The two parts of the address; an IPv6 address stands in brackets."""
        host, _, port = self.address.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def problems(self) -> Iterator[str]:
        """What is wrong across the keys."""
        if bool(self.path) == bool(self.address):
            yield "path: name a path or an address, one of the two"
        if self.address:
            found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", self.address)
            if not found or not 0 < int(found[2]) <= _MAX_PORT:
                yield f"address: {self.address!r} is no host:port"


@dataclass(frozen=True)
class Checks:
    """A list of checks: the operator's own, or what a role registered for its service."""

    disks: tuple[Disk, ...] = ()
    units: tuple[str, ...] = ()
    timers: tuple[Timer, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    def problems(self) -> Iterator[str]:
        """What is wrong across the keys."""
        for number, unit in enumerate(self.units):
            if not _UNIT.fullmatch(unit):
                yield f"units[{number}]: {unit!r} is no name of a unit, such as nginx.service"


@dataclass(frozen=True, kw_only=True)
class HealthOptions(Options):
    """The configuration of `python -m lookout.health`."""

    checks: Checks = Checks()
    # Checks to leave out, such as unit/nginx.service
    skip: tuple[str, ...] = ()
    registered_dir: Path = Path("/etc/lookout/health.d")
    metrics_file: Path = Path("/var/lib/prometheus/node-exporter/health.prom")
    state_file: Path = Path("/var/lib/lookout/health/state.json")
    # In memory, for when the disk is full
    spare_state_file: Path = Path("/run/lookout/health/state.json")
    tls: Tls = field(default_factory=Tls)
    # Checks side by side
    workers: int = option(8, at_least=1, at_most=32)
    systemctl_limit_seconds: float = option(10.0, at_least=0.1, at_most=120)

    def problems(self) -> Iterator[str]:
        """What is wrong across the keys."""
        for number, key in enumerate(self.skip):
            if "/" not in key:
                yield f"skip[{number}]: {key!r} is no check, such as unit/nginx.service"
