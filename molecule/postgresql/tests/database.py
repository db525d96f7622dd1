"""PostgreSQL on one host, asked as different people would."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from testinfra.backend.base import CommandResult
from testinfra.host import Host

HERE = Path(__file__).parent
CA = "/etc/lookout/tls/ca.pem"
LOG = "/var/log/monitoring/postgresql/postgresql.log"
PASSWORDS = {
    "spots": "canary-spots-4711",
    "keeper": "canary-keeper-4711",
    "viewer": "canary-viewer-4711",
    "grafana_reader": "canary-grafana-4711",
}
VERSIONS = {"trixie": "17", "bookworm": "15"}


@dataclass(frozen=True)
class Database:
    """The server of one host."""

    host: Host

    @property
    def name(self) -> str:
        return str(self.host.check_output("hostname"))

    @property
    def version(self) -> str:
        return VERSIONS[self.name]

    @property
    def unit(self) -> str:
        return f"postgresql@{self.version}-main.service"

    @property
    def config(self) -> str:
        return f"/etc/postgresql/{self.version}/main/lookout"

    @property
    def programs(self) -> str:
        return f"/usr/lib/postgresql/{self.version}/bin"

    def run(self, sql: str, database: str = "postgres") -> CommandResult:
        """As postgres, through the socket."""
        return self.host.run("psql -XqAt -v ON_ERROR_STOP=1 -U postgres -d %s -c %s", database, sql)

    def ask(self, sql: str, database: str = "postgres") -> str:
        done = self.run(sql, database)
        assert done.rc == 0, done.stderr
        return str(done.stdout.strip())

    def connect(
        self, role: str, sql: str, database: str = "spots", password: str = "", **options: str
    ) -> CommandResult:
        """Over the network, as an application does: the password comes from a file."""
        wanted = {
            "host": self.name,
            "dbname": database,
            "user": role,
            "sslmode": "verify-full",
            "sslrootcert": CA,
            "passfile": "/root/passfile",
            **options,
        }
        secret = password or PASSWORDS[role]
        address = " ".join(f"{key}={value}" for key, value in wanted.items())
        return self.host.run(
            f"umask 077; echo '*:*:*:*:{secret}' >/root/passfile; "
            f"psql -XqAt -v ON_ERROR_STOP=1 {shlex.quote(address)} -c {shlex.quote(sql)}"
        )

    def pid(self) -> str:
        return str(self.host.check_output(f"systemctl show --property MainPID --value {self.unit}"))
