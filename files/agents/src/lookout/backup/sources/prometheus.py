"""The samples of Prometheus: its snapshot, by hard links, judged by a Prometheus with them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lookout.backup.parts import Prometheus
from lookout.backup.sources import CannotJudgeError, Facts, SourceError, keeping, trees
from lookout.backup.sources.prometheus_api import PROGRAM, Api, scratch_prometheus
from lookout.kit.files import write_atomically

FACTS = "facts.json"
# A rule of Prometheus' role: its value is the time of the sample, so that each one is known.
CANARY = "lookout:canary"
# No sample where one says another time than its own
TRUE_CANARY = f"{CANARY} == timestamp({CANARY})"
BLOCK = r"[0-9A-HJKMNP-TV-Z]{26}"
# Beside the snapshots: that this program asked for one, and which ones were there before
ASKED = ".lookout-asked.json"
# A snapshot is named for the moment at which it was asked for.
ASKED_SECONDS = 60
# Scrapes of that moment have arrived.
SETTLED_SECONDS = 30
HOUR_SECONDS = 3600
# Of the disk of the stage, for those who go on working there
SPARE_BYTES = 256 << 20


def own_leftovers(names: Sequence[str], asked: Mapping[str, Any]) -> list[str]:
    """Snapshots that a killed run asked for: not there before, and named for that moment."""
    left = []
    for name in names:
        made = re.fullmatch(r"([0-9]{8}T[0-9]{6}Z)-[0-9a-f]{16}", name)
        if not made or name in asked["before"]:
            continue
        at = datetime.strptime(made[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if -1 <= at - asked["at"] <= ASKED_SECONDS:
            left.append(name)
    return left


def blocks(folder: Path) -> Facts:
    """What each block holds, by its own words and by its bytes. Raises SourceError."""
    return {
        path.name: _block(path)
        for path in sorted(folder.iterdir())
        if re.fullmatch(BLOCK, path.name)
    }


def _block(folder: Path) -> dict[str, Any]:
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        stats = meta["stats"]
        known = {
            "from": meta["minTime"] / 1000,
            "until": meta["maxTime"] / 1000,
            "samples": stats.get("numSamples", 0),
            "series": stats.get("numSeries", 0),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"block {folder.name}: meta.json cannot be read: {error!r}") from error
    files = [path for path, _ in trees.walk(folder) if path.is_file()]
    each = [f"{path.relative_to(folder)} {trees.digest(path)}" for path in files]
    known["bytes"] = sum(path.stat().st_size for path in files)
    known["sha256"] = hashlib.sha256("\n".join(each).encode()).hexdigest()
    return known


def block_differences(wanted: Facts, found: Facts) -> Iterator[str]:
    """Blocks that are missing, more, or other ones than they were."""
    yield from (f"block {name} is missing" for name in sorted(set(wanted) - set(found)))
    yield from (
        f"block {name} is not part of the backup" for name in sorted(set(found) - set(wanted))
    )
    for name in sorted(set(wanted) & set(found)):
        changed = [key for key, value in wanted[name].items() if found[name].get(key) != value]
        if changed:
            yield f"block {name} has changed: {', '.join(changed)}"


def moments(oldest: float, newest: float) -> dict[str, float]:
    """Where canaries are looked at: the oldest end, and an hour ago or as far as it goes."""
    return {"oldest": oldest, "hour": max(oldest, newest - HOUR_SECONDS), "newest": newest}


def ask(api: Api, now: float, first: float) -> Facts:
    """What a Prometheus answers that a copy of its samples has to answer, too.

    `first` is when its samples begin. Raises SourceError where there is no canary.
    """
    # The canary's smallest value is when it was first; its first sample may be the very first one.
    span = max(math.ceil(now - first), 0) + 1
    oldest = _value(api, f"min_over_time({CANARY}[{span}s])", now)
    newest = _value(api, TRUE_CANARY, now)
    if oldest is None or newest is None:
        raise SourceError(
            f"{CANARY} has no sample: the rule is not evaluated, and nobody could tell a"
            " restored copy from a wrong one"
        )
    at = max(oldest, newest - SETTLED_SECONDS)
    canaries = {
        name: {"at": moment, "value": _value(api, TRUE_CANARY, moment)}
        for name, moment in moments(oldest, at).items()
    }
    return {"canaries": canaries, "series": {"at": at, "by_job": _by_job(api, at)}}


def _value(api: Api, expression: str, at: float) -> float | None:
    # Of several, as with federation, the same one each time
    found = api.query(f"min({expression})", at)
    return float(found[0]["value"][1]) if found else None


def _by_job(api: Api, at: float) -> dict[str, int]:
    found = api.query('count by (job) ({__name__!=""})', at)
    return {one["metric"].get("job", ""): int(one["value"][1]) for one in found}


def answers(api: Api, facts: Facts) -> Iterator[str]:
    """Where a Prometheus answers otherwise than the facts say."""
    for name, canary in facts["canaries"].items():
        value = _value(api, TRUE_CANARY, canary["at"])
        if value != canary["value"]:
            yield f"the canary at the {name} moment is {value}, was {canary['value']}"
    wanted = facts["series"]["by_job"]
    found = _by_job(api, facts["series"]["at"])
    for job in sorted({*wanted, *found}):
        if wanted.get(job, 0) != found.get(job, 0):
            yield f"job {job!r} has {found.get(job, 0)} series, had {wanted.get(job, 0)}"


def blocks_loaded(metrics: str) -> int:
    """How many blocks a Prometheus says that it has loaded."""
    found = re.search(r"^prometheus_tsdb_blocks_loaded ([0-9.e+]+)$", metrics, re.MULTILINE)
    return int(float(found[1])) if found else -1


@dataclass(frozen=True)
class PrometheusSource:
    """The server of a part."""

    server: Prometheus
    timeout_seconds: float = 3600
    name: str = "prometheus"

    @property
    def _snapshots(self) -> Path:
        return self.server.data_dir / "snapshots"

    def bytes_needed(self) -> int:
        """The newest samples, which become a block; blocks are linked, or all of it is copied."""
        # What is linked takes no room; whether it can be, only the stage shows.
        recent = [self.server.data_dir / name for name in ("wal", "chunks_head")]
        return sum(trees.size(path) for path in recent if path.is_dir())

    def save(self, folder: Path) -> None:
        """Have Prometheus make a snapshot, take it over, and delete it."""
        api = self._api()
        self._clean()
        before = (
            [path.name for path in self._snapshots.iterdir()] if self._snapshots.is_dir() else []
        )
        self._make_snapshots()
        now = time.time()
        note = json.dumps({"at": now, "before": before})
        write_atomically(self._snapshots / ASKED, note, 0o600)
        try:
            name = api.snapshot()
            if not re.fullmatch(r"[0-9A-Za-z-]+", name):
                raise SourceError(f"Prometheus names its snapshot {name!r}")
            self._take(self._snapshots / name, folder)
        finally:
            self._clean()
        held = blocks(folder)
        if not held:
            raise SourceError("the snapshot has no block: there are no samples")
        first = min(block["from"] for block in held.values())
        facts = {"blocks": held, **ask(api, now, first)}
        write_atomically(folder / FACTS, json.dumps(facts), 0o600)

    def _make_snapshots(self) -> None:
        """Have the folder, which is the server's.

        Whoever got hold of the server can put a link there: it must not give away where that leads.
        """
        with contextlib.suppress(FileExistsError):
            self._snapshots.mkdir()
        way = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            made = os.open(self._snapshots, way)
        except NotADirectoryError as error:
            raise SourceError(f"{self._snapshots} is no folder") from error
        try:
            if os.geteuid() == 0:
                user = self.server.user
                os.fchown(made, trees.user_id(user), trees.user_group(user))
        finally:
            os.close(made)

    def _take(self, snapshot: Path, folder: Path) -> None:
        file = next((path for path, _ in trees.walk(snapshot) if path.is_file()), None)
        if file and not trees.can_link(file, folder / ".link"):
            # Copied as a whole, then: the disk of the stage is rarely made for that.
            needed, free = trees.size(snapshot), shutil.disk_usage(folder).free
            if needed + SPARE_BYTES > free:
                raise SourceError(
                    f"its samples are on another filesystem than {folder}, which has {free >> 20}"
                    f" MiB free, and a copy of them needs {needed >> 20}"
                )
        for path in sorted(snapshot.iterdir()):
            trees.copy(path, folder / path.name, link=True)

    def _clean(self) -> None:
        """Delete the snapshot that was asked for last, and no one else's."""
        note = self._snapshots / ASKED
        with contextlib.suppress(FileNotFoundError):
            asked = json.loads(note.read_text(encoding="utf-8"))
            names = [path.name for path in self._snapshots.iterdir()]
            for name in own_leftovers(names, asked):
                shutil.rmtree(self._snapshots / name)
            note.unlink()

    def describe(self, folder: Path) -> Facts:
        """Blocks, canaries and series, as they were when the copy was made."""
        facts: Facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return facts

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        """The same blocks, from which a Prometheus answers the same."""
        wanted = facts.get("blocks")
        if not wanted or not facts.get("canaries"):
            yield "the manifest tells of no samples: there is nothing to compare with"
            return
        strange = [name for name in wanted if not re.fullmatch(BLOCK, name)]
        if strange:
            # Such as the log, into which the server would write
            yield f"the manifest names {strange[0]!r}, which is no block"
            return
        known = {*wanted, FACTS}
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        yield from (f"{name} is not part of the backup" for name in sorted(found - known))
        try:
            wrong = [*block_differences(wanted, blocks(folder) if folder.is_dir() else {})]
        except SourceError as error:
            wrong = [str(error)]
        yield from wrong
        if shutil.which(PROGRAM) is None:
            raise CannotJudgeError("no Prometheus is on this host")
        # A second name for each file: what Prometheus writes beside them is not in the copy.
        data = scratch / "data"
        data.mkdir()
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name in wanted:
                trees.copy(path, data / path.name, link=True)
        try:
            with scratch_prometheus(data, scratch, self.timeout_seconds) as api:
                loaded = blocks_loaded(api.get("/metrics").decode())
                if loaded != len(wanted):
                    yield f"Prometheus has loaded {loaded} blocks of {len(wanted)}"
                yield from answers(api, facts)
        except SourceError as error:
            yield str(error)
        finally:
            shutil.rmtree(data, ignore_errors=True)

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        """Replace all that Prometheus has by the copy's blocks; its log begins anew."""
        wrong = [*block_differences(facts["blocks"], blocks(folder))]
        if wrong:
            raise SourceError("; ".join(wrong[:3]))
        owner = trees.user_id(self.server.user), trees.user_group(self.server.user)
        keeping.replace(
            self.server.data_dir, aside, partial(_make, folder, sorted(facts["blocks"]), owner)
        )

    def undo(self, aside: Path) -> None:
        """Put back what Prometheus had."""
        keeping.give_back(self.server.data_dir, aside)

    def settle(self, aside: Path) -> None:
        """Forget what could not be moved to `aside`."""
        keeping.forget(self.server.data_dir, aside)

    def _api(self) -> Api:
        one = self.server
        return Api(one.url, one.certificate, one.key, one.ca, self.timeout_seconds)


def _make(folder: Path, names: Sequence[str], owner: tuple[int, int], target: Path) -> None:
    target.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(target, *owner)
    for name in names:
        # Nobody writes into a block, so that a second name is as good as a copy.
        trees.copy(folder / name, target / name, owner=lambda _path, _about: owner, link=True)
