"""How PostgreSQL is reached by tasks and reports: read-only, with limits that the server keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from lookout.status.registry import Context

SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")


class Access(Protocol):
    """What has to be known of a database."""

    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def port(self) -> int: ...  # noqa: D102
    @property
    def database(self) -> str: ...  # noqa: D102
    @property
    def user(self) -> str: ...  # noqa: D102
    @property
    def password_credential(self) -> str: ...  # noqa: D102
    @property
    def tls(self) -> bool: ...  # noqa: D102
    @property
    def ca_file(self) -> Path | None: ...  # noqa: D102


def connect(access: Access, context: Context) -> Any:
    """Open a connection on which nothing can be changed. Raises psycopg2.Error."""
    import psycopg2  # noqa: PLC0415 -- 6 MB that the page does not need

    limit = max(1, int(context.timeout_seconds))
    on_socket = access.host.startswith("/")
    given: dict[str, Any] = {
        "host": access.host,
        "port": access.port,
        "dbname": access.database,
        "user": access.user,
        "connect_timeout": limit,
        "application_name": f"lookout-status {context.name}",
        "options": f"-c statement_timeout={1000 * limit} -c default_transaction_read_only=on"
        " -c lock_timeout=5000",
    }
    if access.tls and not on_socket:
        given |= {"sslmode": "verify-full", "sslrootcert": str(access.ca_file or SYSTEM_CA)}
    if access.password_credential:
        given["password"] = context.credential(access.password_credential)
    connection = psycopg2.connect(**given)
    connection.set_session(readonly=True)
    return connection


def of_sql(error: Exception) -> str:
    """The first line of what PostgreSQL said, without the place in the query."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
