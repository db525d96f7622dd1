"""Grafana of one host: asked through the gateway as people do, and on loopback as the role does."""

from __future__ import annotations

import http.client
import http.cookies
import json
import os
import shlex
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hosts import CURL, wait_for
from people import password_of
from testinfra.host import Host

SITES = ["trixie", "bookworm"]
UNIT = "grafana-server.service"
CONFIG = "/etc/lookout/grafana"
LOGS = "/var/log/monitoring/grafana"
PREFIX = "/grafana"
DIRECT = f"https://127.0.0.1:3000{PREFIX}"
# The local admin's name and password, as curl takes them
SIGN_IN = "/root/grafana.curl"
ADMIN = "admin"
COOKIE = "grafana_session"
TIMEOUT_SECONDS = 30
# Grafana keeps what a role may for 60 seconds, and reads dashboards after it answers.
KEPT_SECONDS = 70


def secret(name: str) -> str:
    """A secret of the site, as the control node keeps it."""
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory", "secrets")
    return (folder / name).read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many seconds."""

    status: int
    headers: dict[str, str]
    cookies: dict[str, http.cookies.Morsel[str]]
    body: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Session:
    """One browser: it keeps its cookies, and sends what it was given."""

    address: str
    name: str
    ca: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask the gateway for a path of Grafana; only the site's CA is trusted."""
        sent = {"Host": self.name, "Accept": "application/json", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            sent["Content-Type"] = "application/json"
        started = time.monotonic()
        connection = http.client.HTTPConnection(self.name, 443, timeout=TIMEOUT_SECONDS)
        connection.sock = self.connected()
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, PREFIX + path, text, sent)
            response = connection.getresponse()
            content = response.read().decode()
        finally:
            connection.close()
        jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        for header in response.headers.get_all("Set-Cookie") or []:
            jar.load(header)
        self.cookies |= {name: morsel.value for name, morsel in jar.items()}
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            cookies=dict(jar.items()),
            body=content,
            seconds=time.monotonic() - started,
        )

    def connected(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self.address, 443), timeout=TIMEOUT_SECONDS)
        return ssl.create_default_context(cadata=self.ca).wrap_socket(
            plain, server_hostname=self.name
        )

    def soon(self, method: str, path: str, status: int) -> bool:
        """Whether it answers so, once it looks up anew what a role may: once in a minute."""
        return bool(wait_for(lambda: self.ask(method, path).status == status, KEPT_SECONDS))

    def get(self, path: str) -> Any:
        """The JSON behind a path, which has to be there."""
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer)
        return answer.json


@dataclass(frozen=True)
class Grafana:
    """The service of one host, with its gateway."""

    host: Host
    name: str
    address: str
    ca: str

    def visitor(self) -> Session:
        """Somebody who has not signed in."""
        return Session(self.address, self.name, self.ca)

    def sign_in(self, user: str, password: str = "") -> tuple[Session, Answer]:
        """Fill in the form; people of the directory have a password that everybody knows."""
        session = self.visitor()
        word = password or (secret("grafana_admin") if user == ADMIN else password_of(user))
        return session, session.ask("POST", "/login", {"user": user, "password": word})

    def signed_in(self, user: str, password: str = "") -> Session:
        """Somebody who got in."""
        session, answer = self.sign_in(user, password)
        assert answer.status == 200, (user, answer)
        assert COOKIE in session.cookies
        return session

    def refused(self, user: str, password: str = "") -> Answer:
        """Somebody who has to be turned away, whatever Grafana calls it, and gets no session."""
        session, answer = self.sign_in(user, password)
        assert answer.status in (400, 401, 403, 500), (user, answer)
        assert COOKIE not in session.cookies
        assert session.ask("GET", "/api/user").status == 401
        return answer

    def roles(self) -> dict[str, str]:
        """login -> role, of everybody who is in the organisation."""
        users = self.signed_in(ADMIN).get("/api/org/users")
        return {user["login"]: user["role"] for user in users}

    def direct(self, path: str, *options: str) -> Any:
        """Ask on loopback, as the local admin: curl reads the password from a file."""
        asked = shlex.join([*shlex.split(CURL), "--max-time", "20", "--config", SIGN_IN, *options])
        return json.loads(self.host.check_output(f"{asked} {DIRECT}{path}"))

    def started(self) -> str:
        """Changes with every start of the process."""
        shown = "systemctl show --property=MainPID --property=ExecMainStartTimestampMonotonic"
        return str(self.host.check_output(f"{shown} {UNIT}"))

    def tree(self) -> str:
        """The configuration that is live: the link is swapped as a whole."""
        return str(self.host.check_output(f"readlink -f {CONFIG}"))

    def mark(self) -> tuple[str, str]:
        """Where its logs end by now: the journal, and its own files."""
        cursor = self.host.check_output("journalctl --lines 0 --show-cursor --quiet")
        size = self.host.check_output(f"find {LOGS} -name '*.log' -exec cat {{}} + | wc -c")
        return cursor.partition("cursor: ")[2].strip(), str(int(size) + 1)

    def noted(self, mark: tuple[str, str]) -> str:
        """What it noted since then."""
        return str(
            self.host.check_output(
                f"journalctl --unit {UNIT} --after-cursor %s --output cat --quiet;"
                f" find {LOGS} -name '*.log' -exec cat {{}} + | tail -c +%s",
                *mark,
            )
        )
