"""The gateway of one host, asked from that host itself, and the services behind it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from testinfra.host import Host

UNIT = "nginx.service"
CONFIG = "/etc/nginx/config"
TLS = "/etc/lookout/tls"
LOGS = "/var/log/monitoring/nginx"
ALICE = "alice:correct horse battery"
STATUS = "http://127.0.0.1:8081"


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers in lower case (the last of a name), body."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def said(self) -> dict[str, Any]:
        """What a service of servers.py says that arrived."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Gateway:
    """nginx on one host."""

    host: Host
    name: str

    def ask(self, path: str, *options: str, user: str = "", server: str = "") -> Answer:
        """GET a path, or a whole URL, with curl, which trusts the site's CA alone."""
        server = server or self.name
        url = path if "://" in path else f"https://{server}{path}"
        argv = [
            *("curl", "--silent", "--show-error", "--path-as-is", "--include", "--max-time", "20"),
            *("--cacert", f"{TLS}/ca.pem", "--resolve", f"{server}:443:127.0.0.1"),
            *(("--user", user) if user else ()),
            *options,
            url,
        ]
        shown = self.host.check_output(shlex.join(argv)).replace("\r", "")
        head, _, body = shown.partition("\n\n")
        lines = head.splitlines()
        headers = dict(line.split(":", 1) for line in lines[1:])
        return Answer(
            status=int(lines[0].split()[1]),
            headers={key.lower(): value.strip() for key, value in headers.items()},
            body=body,
        )

    def logged(self) -> list[dict[str, Any]]:
        """The access log; every line of it is JSON."""
        lines = self.host.check_output(f"cat {LOGS}/access.log").splitlines()
        return [json.loads(line) for line in lines]

    def errors(self) -> str:
        return self.host.check_output(f"cat {LOGS}/error.log")

    def runs(self) -> str:
        """The digest of the configuration that nginx runs."""
        return self.host.check_output(f"curl --fail --silent {STATUS}/config")
