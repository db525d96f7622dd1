"""PostgreSQL lets us in and answers a query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from lookout.kit.config import option
from lookout.status.postgresql import connect, of_sql
from lookout.status.registry import Context, Failed, Outcome, task


@task("database_access")
@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """Options: the database, who asks it, and what."""

    host: str = option("127.0.0.1", pattern=r"\S+")
    port: int = option(5432, at_least=1, at_most=65535)
    database: str = option("postgres", pattern=r"\S+")
    user: str = option(pattern=r"\S+")
    # File with the password; none for a peer
    password_credential: str = ""
    # Demand TLS with a certificate that is checked
    tls: bool = True
    # CA of the server; the system's without one
    ca_file: Path | None = None
    query: str = option("SELECT 1", pattern=r"(?s).*\S.*")
    # What the first field of the answer has to be
    expect: str | None = option(None)

    def run(self, context: Context) -> Outcome:
        """Connect, ask, look at the first field."""
        import psycopg2  # noqa: PLC0415 -- 6 MB that only this kind of task needs

        began = monotonic()
        try:
            connection = connect(self, context)
            connected = monotonic()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(self.query)
                    row = cursor.fetchone()
            finally:
                connection.close()
        except psycopg2.Error as error:
            raise Failed(of_sql(error)) from error
        answered = monotonic()
        if row is None:
            raise Failed("the query answers with no row")
        if self.expect is not None and str(row[0]) != self.expect:
            raise Failed(f"the query answers {str(row[0])[:80]!r} instead of {self.expect!r}")
        return Outcome(
            True,
            f"connected in {1000 * (connected - began):.0f} ms,"
            f" answered in {1000 * (answered - connected):.0f} ms",
        )
