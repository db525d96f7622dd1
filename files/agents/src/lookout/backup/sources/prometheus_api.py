"""Prometheus' HTTP API, asked with a certificate of the site, and a Prometheus of one's own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookout.backup.sources import CannotJudgeError, SourceError, commands

PROGRAM = "prometheus"


@dataclass(frozen=True)
class Api:
    """One Prometheus."""

    url: str
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    timeout_seconds: float = 600

    def get(self, path: str, **parameters: str | float) -> bytes:
        """The body of an answer. Raises SourceError."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return self._ask(f"{path}{query}", None)

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        """The series of an instant vector."""
        answer = self.get("/api/v1/query", query=expression, time=f"{at:.3f}")
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return found

    def snapshot(self) -> str:
        """Have it hold on to all samples; returns the name of the folder."""
        answer = self._ask("/api/v1/admin/tsdb/snapshot", b"")
        return str(json.loads(answer)["data"]["name"])

    def _ask(self, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"{self.url}{path}", data=body)  # noqa: S310
        try:
            context = self._context() if self.url.startswith("https:") else None
            # Neither a proxy of the environment nor a redirect leads elsewhere.
            handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
            if context:
                handlers.append(urllib.request.HTTPSHandler(context=context))
            opener = urllib.request.build_opener(*handlers)
            with opener.open(request, timeout=self.timeout_seconds) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            said = commands.said(error.read(2000).decode(errors="replace"))
            raise SourceError(f"{self.url}{path}: {error.code} {said}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{self.url}{path}: {error}") from error

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


def flags(data: Path, config: Path, port: int) -> list[str]:
    """Arguments of a Prometheus that scrapes nothing, deletes nothing, and answers here alone."""
    return [
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        # Longer than anybody keeps samples: without it the default deletes what is older.
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


@contextlib.contextmanager
def scratch_prometheus(data: Path, scratch: Path, start_seconds: float) -> Iterator[Api]:
    """A Prometheus with the samples in `data`, gone afterwards.

    Raises SourceError when it does not start with them, and would without.
    """
    try:
        with _started(data, scratch, start_seconds) as api:
            yield api
    except _StartError as error:
        # Is it the samples?
        empty = scratch / "empty"
        empty.mkdir(exist_ok=True)
        try:
            with _started(empty, scratch, start_seconds):
                pass
        except _StartError as other:
            raise CannotJudgeError(f"Prometheus does not start on this host: {other}") from error
        raise SourceError(f"Prometheus does not start with these samples: {error}") from error


class _StartError(Exception):
    """Why a Prometheus does not start."""


@contextlib.contextmanager
def _started(data: Path, scratch: Path, start_seconds: float) -> Iterator[Api]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise CannotJudgeError("no Prometheus is on this host")
    config, log = scratch / "prometheus.yml", scratch / "prometheus.log"
    config.write_text("{}\n", encoding="ascii")
    port = commands.free_port()
    with log.open("wb") as writes:
        process = subprocess.Popen(
            # It must not outlive who judges.
            ["setpriv", "--pdeathsig", "KILL", program, *flags(data, config, port)],
            cwd=scratch,
            # A quarter more than it needs, not as much again
            env={**os.environ, "GOGC": "25"},
            stdin=subprocess.DEVNULL,
            stdout=writes,
            stderr=writes,
        )
    try:
        api = Api(f"http://127.0.0.1:{port}")
        _wait(api, process, log, start_seconds)
        yield api
    except (SourceError, _StartError) as error:
        if _was_killed(process):
            raise CannotJudgeError(
                "Prometheus was killed, as the kernel does where memory runs out"
            ) from error
        raise
    finally:
        commands.end(process)


def _was_killed(process: subprocess.Popen[bytes]) -> bool:
    try:
        # Its connections are closed a moment before.
        return process.wait(1) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


def _wait(api: Api, process: subprocess.Popen[bytes], log: Path, start_seconds: float) -> None:
    until = time.monotonic() + start_seconds
    why = f"is not ready after {start_seconds:.0f} s"
    while time.monotonic() < until:
        if process.poll() is not None:
            why = f"ended with {process.returncode}"
            break
        try:
            api.get("/-/ready")
        except SourceError:
            time.sleep(0.2)
        else:
            return
    what = commands.said(log.read_text(errors="replace"))
    raise _StartError(f"it {why}: {what}")
