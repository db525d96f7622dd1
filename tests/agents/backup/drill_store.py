"""What stands in for a store: copies in folders, or a real repository behind a script for ssh."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lookout.backup.drill.options import DrillOptions
from lookout.backup.drill.repository import BadBackupError
from lookout.backup.manifest import Manifest
from lookout.backup.options import Store
from lookout.backup.parts import Part
from lookout.backup.restic import Snapshot
from lookout.backup.sources import Facts

HOST = "app1"
# The two verbs of the store
SSH = """#!/bin/sh
set -eu
while [ "$1" != store@localhost ]; do shift; done
shift
[ ! -e {root}/down ] || {{ echo 'ssh: connect to host localhost port 22: refused' >&2; exit 255; }}
case "$*" in
"status "*) [ -e "{root}/${{1#status }}/config" ] && there=true || there=false
    mounted=true; [ ! -e {root}/unmounted ] || mounted=false
    echo '{{"mounted": '$mounted', "free_bytes": 1, "size_bytes": 1, "repository": '$there'}}' ;;
"serve "*) exec rclone serve restic --stdio --append-only "{root}/${{*#serve }}" ;;
*) echo "no such verb: $*" >&2; exit 1 ;;
esac
"""


class Content:
    """A source whose copy is one file, judged by its hash."""

    name = "content"

    def bytes_needed(self) -> int:
        return 0

    def save(self, folder: Path) -> None:
        (folder / "data").write_text("what is worth saving\n", encoding="ascii")

    def describe(self, folder: Path) -> Facts:
        return {"sha256": hashlib.sha256((folder / "data").read_bytes()).hexdigest()}

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        assert not [*scratch.iterdir()]
        if self.describe(folder) != facts:
            yield "data is not what was saved"

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        raise NotImplementedError

    def undo(self, aside: Path) -> None:
        raise NotImplementedError

    def settle(self, aside: Path) -> None:
        raise NotImplementedError


@dataclass
class Copies:
    """Snapshots as folders, and what is wrong with the store."""

    root: Path
    snapshots: list[Snapshot] = field(default_factory=list)
    wrong: Exception | None = None
    damaged: bool = False

    def save(
        self, part: str, age_seconds: float = 0, host: str = HOST, damaged: bool = False
    ) -> str:
        """Save a part as a run does; its snapshot."""
        made = f"{len(self.snapshots):012}"
        source, folder = Content(), self.root / made / Content.name
        folder.mkdir(parents=True)
        source.save(folder)
        told = Part(part, paths=(Path("/srv/data"),), check=("true",))
        facts = {source.name: source.describe(folder)}
        Manifest(told, host, time.time() - age_seconds, facts).write(folder.parent)
        if damaged:
            (folder / "data").write_text("something else\n", encoding="ascii")
        self.snapshots.append(Snapshot(made, time.time(), HOST, (f"part={part}",)))
        return made

    def record(
        self, *good: str, names: Sequence[str] | None = None, age_seconds: float = 0
    ) -> None:
        """Say of a run which snapshots are good, and, as it is done since, which parts it had."""
        tags = ["record", *(f"good={one}" for one in good)]
        if names is not None:
            tags += ["whole", *(f"names={one}" for one in names)]
        at = time.time() - age_seconds
        self.snapshots.append(Snapshot(f"{len(self.snapshots):012}", at, HOST, tuple(tags)))

    def judged(self, *_: Any) -> Copies:
        """In the place of the class Judged."""
        return replace(self, snapshots=self.snapshots)

    def look(self) -> None:
        """Whether the store is well."""
        if self.wrong:
            raise self.wrong

    def list(self) -> list[Snapshot]:
        """All snapshots."""
        return [*self.snapshots]

    def check(self) -> None:
        """Whether the repository is whole."""
        if self.damaged:
            raise BadBackupError("the repository is damaged")

    def size(self, snapshot: Snapshot) -> int:
        return 1 << 20

    def restore(self, snapshot: Snapshot, target: Path, timeout_seconds: float) -> None:
        folder = self.root / snapshot.id
        if not folder.exists():
            raise BadBackupError("a pack is missing")
        shutil.copytree(folder, target)


def options(root: Path) -> DrillOptions:
    """Of a drill whose places are all below a folder."""
    for name in ("state", "parts.d"):
        (root / name).mkdir()
    return DrillOptions(
        instance="here",
        store=Store("localhost", "store", root / "known_hosts"),
        hosts=(HOST,),
        state_dir=root / "state",
        metrics_file=root / "restore_drill.prom",
        parts_dir=root / "parts.d",
    )


def make_store(root: Path) -> None:
    """A folder that `ssh` from its folder `tools` reaches, with what opens a repository."""
    for name in ("keys", "tools"):
        (root / name).mkdir()
    (root / "tools/ssh").write_text(SSH.format(root=root), encoding="ascii")
    (root / "tools/ssh").chmod(0o755)
    (root / "keys/ssh_key").write_text("", encoding="ascii")
    (root / f"keys/password_{HOST}").write_text("a password", encoding="ascii")


def restic(root: Path, *arguments: str, cwd: Path | None = None) -> None:
    """restic with the repository in a store's folder."""
    done = subprocess.run(
        ["restic", "--repo", str(root / HOST), "--no-cache", *arguments],
        env={**os.environ, "RESTIC_PASSWORD_FILE": f"{root}/keys/password_{HOST}"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
