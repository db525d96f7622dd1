"""PostgreSQL's programs: a session that stays open, and a server of one's own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lookout.backup.sources import CannotJudgeError, SourceError, commands
from lookout.backup.sources import postgresql_sql as sql

# Debian's place; each folder is a major version.
VERSIONS = Path("/usr/lib/postgresql")
NEEDED = ("initdb", "postgres", "pg_restore", "psql")
# The database to be connected to while others are made, renamed and dropped
MAINTENANCE = "template1"
# Longest path of a socket that the kernel takes, less its file name
LONGEST_SOCKET_DIR = 80
START_SECONDS = 60
_END = "lookout end of answer"
_QUOTES = re.compile(r"LINE \d+:|DETAIL:|CONTEXT:|QUERY:|STATEMENT:|\s*\^\s*$")


def newest(versions: Path = VERSIONS) -> tuple[int, Path]:
    """The newest major version whose server is on this host, and where its programs are."""
    found = [
        (int(folder.name), folder / "bin")
        for folder in versions.glob("*")
        if re.fullmatch(r"[0-9]+", folder.name)
        and all(os.access(folder / "bin" / program, os.X_OK) for program in NEEDED)
    ]
    if not found:
        raise CannotJudgeError(f"no server of PostgreSQL is on this host (below {versions})")
    return max(found)


def complaint(text: str) -> str:
    """What a program of PostgreSQL complained about, without what it quotes.

    That is the statement that failed, or the row: passwords of roles and of other servers, data.
    """
    lines = text.partition("Command was:")[0].splitlines()
    return commands.said("\n".join(line for line in lines if not _QUOTES.match(line)))


@dataclass(frozen=True)
class Server:
    """A server, reached by its socket."""

    bin_dir: Path
    socket_dir: Path
    port: int
    # User of the system, and the name of the superuser
    user: str | None
    superuser: str = "postgres"
    timeout_seconds: float = 3600

    @property
    def environment(self) -> dict[str, str]:
        """Where the programs of PostgreSQL find it."""
        return {
            "PGHOST": str(self.socket_dir),
            "PGPORT": str(self.port),
            "PGUSER": self.superuser,
            "PGCONNECT_TIMEOUT": "20",
            # What they say is looked into.
            "LC_ALL": "C.UTF-8",
            "PGCLIENTENCODING": "UTF8",
            # Neither a file of the caller's nor a service is read.
            "PGPASSFILE": "/dev/null/none",
            "PGSERVICEFILE": "/dev/null/none",
            "PGAPPNAME": "lookout-backup",
            # Passwords stand in what is restored: the server's log is not to quote it.
            "PGOPTIONS": "-c log_statement=none -c log_min_error_statement=panic"
            " -c log_min_duration_statement=-1",
        }

    @staticmethod
    def way(database: str) -> str:
        """A database's name for programs that take some names for a whole way to a server."""
        escaped = database.replace("\\", "\\\\").replace("'", "\\'")
        return f"dbname='{escaped}'"

    def run(self, program: str, *arguments: str, **more: Any) -> str:
        """Run one of its programs to its end."""
        return commands.run(
            [str(self.bin_dir / program), *arguments],
            user=self.user,
            environment=self.environment,
            timeout_seconds=self.timeout_seconds,
            tell=complaint,
            **more,
        )

    def psql(self, database: str) -> list[str]:
        """The command that reads SQL, and ends at the first error, of which it quotes nothing."""
        return [
            *(str(self.bin_dir / "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"),
            *("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--no-password"),
            f"--dbname={self.way(database)}",
        ]

    def execute(self, database: str, *statements: str) -> list[str]:
        """Run statements, and give the lines of their answers. They do not stand in argv."""
        text = "".join(f"{one.rstrip().removesuffix(';')};\n" for one in statements)
        answer = commands.run(
            self.psql(database),
            user=self.user,
            environment=self.environment,
            timeout_seconds=self.timeout_seconds,
            text=text,
            tell=complaint,
        )
        return answer.splitlines()

    @contextlib.contextmanager
    def session(self, database: str) -> Iterator[Session]:
        """A connection that stays, for what has to be seen in one transaction."""
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                self.psql(database),
                env={**os.environ, **self.environment},
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                encoding="utf-8",
                errors="surrogateescape",
                **commands.as_user(self.user),
            )
            # Whatever it hangs at
            timer = threading.Timer(self.timeout_seconds, process.kill)
            timer.start()
            try:
                yield Session(process, complaints)
            finally:
                timer.cancel()
                process.kill()
                process.communicate()


class Session:
    """One psql that waits for the next question."""

    def __init__(self, process: subprocess.Popen[str], complaints: Any) -> None:
        self._process = process
        self._complaints = complaints

    def ask(self, *statements: str) -> list[str]:
        """The lines of the answers. Raises SourceError."""
        asks, answers = self._process.stdin, self._process.stdout
        if asks is None or answers is None:
            raise SourceError("psql was started without a way to talk to it")
        lines: list[str] = []
        with contextlib.suppress(BrokenPipeError):
            asks.write("".join(f"{one};\n" for one in statements) + f"\\echo {_END}\n")
            asks.flush()
        for line in answers:
            if line.rstrip("\n") == _END:
                return lines
            lines.append(line.rstrip("\n"))
        self._complaints.seek(0)
        raise SourceError(f"psql: {complaint(self._complaints.read().decode(errors='replace'))}")


def contents(session: Session) -> dict[str, Any]:
    """Rows and checksum of each table of a database, as the session's transaction sees it."""
    session.ask(sql.setup())
    tables = sql.parsed("".join(session.ask(sql.TABLES)))
    known: dict[str, Any] = sql.parsed("".join(session.ask(sql.PROPERTIES)))
    known["tables"] = {
        sql.table_name(schema, table): sql.parsed(session.ask(sql.summed(schema, table))[0])
        for schema, table in tables
    }
    return known


@contextlib.contextmanager
def scratch_server(
    bin_dir: Path, scratch: Path, superuser: str, timeout_seconds: float
) -> Iterator[Server]:
    """A server with data below `scratch` and a socket that nobody else reaches, gone afterwards.

    PostgreSQL refuses to run as root: then all of it is nobody's, in a folder of its own.
    """
    user = "nobody" if os.geteuid() == 0 else None
    with contextlib.ExitStack() as stack:
        room = scratch
        if user or len(str(scratch)) > LONGEST_SOCKET_DIR:
            made = tempfile.TemporaryDirectory(prefix="lookout-judge-", dir="/var/tmp")
            room = Path(stack.enter_context(made))
            if user:
                shutil.chown(room, user)
        server = Server(bin_dir, room, 5432, user, superuser, timeout_seconds)
        data = room / "data"
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        try:
            server.run(
                *("initdb", f"--pgdata={data}", f"--username={superuser}", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
            )
        except SourceError as error:
            raise CannotJudgeError(f"no server of one's own can be made: {error}") from error
        # Without a name: the room is nobody's by now, and so may be a link in it.
        log = stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            _argv(bin_dir, data, room),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **commands.as_user(user),
        )
        # Fast: sessions are ended, and with them their transactions.
        stack.callback(commands.end, process, signal.SIGINT)
        _wait(server, process, log)
        yield server


def _argv(bin_dir: Path, data: Path, socket_dir: Path) -> list[str]:
    settings: Mapping[str, str] = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        "shared_buffers": "32MB",
        "maintenance_work_mem": "64MB",
        # Nothing of it is kept: whether it is on disk does not matter.
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "autovacuum": "off",
        "jit": "off",
        "logging_collector": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    # It must not outlive who judges.
    return [
        *("setpriv", "--pdeathsig", "INT"),
        *(str(bin_dir / "postgres"), "-D", str(data), *options),
    ]


def _wait(server: Server, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            server.execute(MAINTENANCE, "select 1")
        except SourceError:
            time.sleep(0.2)
        else:
            return
    log.seek(0)
    what = commands.said(log.read().decode(errors="replace"))
    raise CannotJudgeError(f"a server of one's own does not start: {what}")
