"""The samples of VictoriaMetrics: its snapshot, by hard links, judged by a server on a copy."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lookout.backup.parts import Victoriametrics
from lookout.backup.sources import CannotJudgeError, Facts, SourceError, commands, keeping, trees
from lookout.backup.sources.prometheus_api import Api
from lookout.kit.files import write_atomically

PROGRAM = "victoria-metrics"
FACTS, DATA = "facts.json", "data"
# A snapshot has links to three of these folders, and holds the fourth itself.
LINKED = ("data/small", "data/big", "indexdb")
HELD = "metadata"
# Samples of this moment can be asked for: it keeps the newest half a minute back.
SETTLED_SECONDS = 90
START_SECONDS = 60
# Of the disk of the stage, for those who go on working there
SPARE_BYTES = 64 << 20


def ask(api: Api, at: float) -> dict[str, int]:
    """Series by job at a moment, from raw samples of the five minutes before it."""
    found = api.query('count by (job) (last_over_time({__name__!=""}[5m]))', at)
    return {one["metric"].get("job", ""): int(one["value"][1]) for one in found}


def answers(api: Api, facts: Facts) -> Iterator[str]:
    """Where a server answers otherwise than the facts say."""
    wanted = facts["series"]["by_job"]
    found = ask(api, facts["series"]["at"])
    for job in sorted({*wanted, *found}):
        if wanted.get(job, 0) != found.get(job, 0):
            yield f"job {job!r} has {found.get(job, 0)} series, had {wanted.get(job, 0)}"


def files(folder: Path) -> Facts:
    """All files of a copy, with size and checksum."""
    return {
        str(path.relative_to(folder)): [path.stat().st_size, trees.digest(path)]
        for path, _ in trees.walk(folder)
        if path.is_file() and not path.is_symlink()
    }


def differences(wanted: Facts, found: Facts) -> Iterator[str]:
    """Files that are missing, more, or other ones than they were."""
    yield from (f"{name} is missing" for name in sorted(set(wanted) - set(found)))
    yield from (f"{name} is not part of the backup" for name in sorted(set(found) - set(wanted)))
    for name in sorted(set(wanted) & set(found)):
        if [*wanted[name]] != [*found[name]]:
            yield f"{name} has changed"


@dataclass(frozen=True)
class VictoriametricsSource:
    """The server of a part."""

    server: Victoriametrics
    timeout_seconds: float = 3600
    name: str = "victoriametrics"

    def bytes_needed(self) -> int:
        """Next to nothing: files are linked. Where they cannot be, `save` looks at the room."""
        return 0

    def save(self, folder: Path) -> None:
        """Have it make a snapshot, take that over, and have it deleted."""
        api = self._api()
        at = time.time() - SETTLED_SECONDS
        series = ask(api, at)
        if not series:
            raise SourceError(
                "it has no series: nobody could tell a restored copy from a wrong one"
            )
        name = str(json.loads(api.get("/snapshot/create")).get("snapshot"))
        if not re.fullmatch(r"[0-9]{14}-[0-9A-F]{16}", name):
            raise SourceError(f"it names its snapshot {name!r}")
        try:
            self._take(name, folder / DATA)
        finally:
            # One that a killed run leaves goes by itself (-snapshotsMaxAge).
            api.get("/snapshot/delete", snapshot=name)
        facts = {"files": files(folder / DATA), "series": {"at": at, "by_job": series}}
        write_atomically(folder / FACTS, json.dumps(facts), 0o600)

    def _take(self, name: str, target: Path) -> None:
        top = self.server.data_dir
        parts = {kind: top / kind / "snapshots" / name for kind in LINKED}
        parts[HELD] = top / "snapshots" / name / HELD
        for path in parts.values():
            # Whoever got hold of the server can put a link there.
            if path.resolve() != path or not path.is_dir():
                raise SourceError(f"{path} is no folder of the snapshot")
        target.mkdir()
        self._check_room([*parts.values()], target)
        for kind, path in parts.items():
            (target / kind).parent.mkdir(exist_ok=True)
            trees.copy(path, target / kind, link=True)

    @staticmethod
    def _check_room(parts: list[Path], target: Path) -> None:
        file = next((p for part in parts for p, _ in trees.walk(part) if p.is_file()), None)
        if file is None or trees.can_link(file, target / ".link"):
            return
        needed, free = sum(map(trees.size, parts)), shutil.disk_usage(target).free
        if needed + SPARE_BYTES > free:
            raise SourceError(
                f"its samples are on another filesystem than {target}, which has {free >> 20} MiB"
                f" free, and a copy of them needs {needed >> 20}"
            )

    def describe(self, folder: Path) -> Facts:
        """Files and series, as they were when the copy was made."""
        facts: Facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        """The same files, from which a server answers the same."""
        if not facts.get("files") or not facts.get("series", {}).get("by_job"):
            yield "the manifest tells of no samples: there is nothing to compare with"
            return
        data = folder / DATA
        wrong = [*differences(facts["files"], files(data) if data.is_dir() else {})]
        yield from wrong
        if wrong:
            return
        # A copy, as it merges files and writes its own list of them.
        trees.copy(data, scratch / DATA)
        try:
            with _started(scratch / DATA, scratch) as api:
                yield from answers(api, facts)
        except SourceError as error:
            yield str(error)
        finally:
            shutil.rmtree(scratch / DATA, ignore_errors=True)

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        """Replace all that it has by the copy."""
        wrong = [*differences(facts["files"], files(folder / DATA))]
        if wrong:
            raise SourceError("; ".join(wrong[:3]))
        owner = trees.user_id(self.server.user), trees.user_group(self.server.user)
        keeping.replace(self.server.data_dir, aside, partial(_make, folder / DATA, owner))

    def undo(self, aside: Path) -> None:
        """Put back what it had."""
        keeping.give_back(self.server.data_dir, aside)

    def settle(self, aside: Path) -> None:
        """Forget what could not be moved to `aside`."""
        keeping.forget(self.server.data_dir, aside)

    def _api(self) -> Api:
        return Api(self.server.url, timeout_seconds=self.timeout_seconds)


def _make(data: Path, owner: tuple[int, int], target: Path) -> None:
    # No links: it writes into its list of files.
    trees.copy(data, target, owner=lambda _path, _about: owner)
    target.chmod(0o755)


@contextlib.contextmanager
def _started(data: Path, scratch: Path) -> Iterator[Api]:
    """A server with the samples in `data`, which scrapes nothing; gone afterwards."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise CannotJudgeError("no VictoriaMetrics is on this host")
    port = commands.free_port()
    log = scratch / "victoria-metrics.log"
    argv = [
        # It must not outlive who judges.
        *("setpriv", "--pdeathsig", "KILL", program, f"-storageDataPath={data}"),
        # Longer than anybody keeps samples: with the default a month is left.
        *("-retentionPeriod=100y", f"-httpListenAddr=127.0.0.1:{port}"),
        *("-memory.allowedBytes=64MB", "-loggerLevel=WARN"),
    ]
    with log.open("wb") as writes:
        process = subprocess.Popen(
            argv, cwd=scratch, stdin=subprocess.DEVNULL, stdout=writes, stderr=writes
        )
    try:
        api = Api(f"http://127.0.0.1:{port}")
        _wait(api, process, log)
        yield api
    finally:
        commands.end(process)


def _wait(api: Api, process: subprocess.Popen[Any], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            api.get("/health")
        except SourceError:
            time.sleep(0.2)
        else:
            return
    if process.poll() == -signal.SIGKILL:
        raise CannotJudgeError("it was killed, as the kernel does where memory runs out")
    said = commands.said(log.read_text(errors="replace"))
    raise SourceError(f"VictoriaMetrics does not start with these samples: {said}")
