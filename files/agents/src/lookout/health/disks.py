"""Space and inodes of the filesystem below a path."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lookout.health.results import CheckError, Result

COMMAND = "stat"
# What can be killed is gone by then.
_KILL_SECONDS = 0.2


@dataclass(frozen=True)
class Usage:
    """Blocks and inodes of a filesystem: all, free, and free for users without privileges."""

    blocks: int
    blocks_free: int
    blocks_available: int
    inodes: int
    inodes_free: int

    @property
    def space_percent(self) -> float:
        """Used space as df shows it: what is kept for root counts as gone."""
        used = self.blocks - self.blocks_free
        return _percent(used, used + self.blocks_available)

    @property
    def inodes_percent(self) -> float:
        """Used inodes; 0 where the filesystem makes them as it goes, as btrfs does."""
        return _percent(self.inodes - self.inodes_free, self.inodes)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole > 0 else 0.0


def parse(text: str) -> Usage:
    """Read what `stat --file-system --format='%b %f %a %c %d'` prints."""
    try:
        return Usage(*(int(word) for word in text.split()))
    except (ValueError, TypeError) as error:
        raise CheckError(f"stat printed {text.strip()!r}, no usage of a filesystem") from error


def read(path: Path, limit_seconds: float) -> Usage:
    """Ask a child: one that hangs on a dead mount is left behind, as nothing can end it."""
    argv = [COMMAND, "--file-system", "--format=%b %f %a %c %d", "--", str(path)]
    child = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"LC_ALL": "C"}
    )
    try:
        shown, complaint = child.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired as error:
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=_KILL_SECONDS)
        raise CheckError(f"the filesystem did not answer within {limit_seconds:g} s") from error
    if child.returncode != 0:
        raise CheckError(complaint.strip() or f"stat ended with {child.returncode}")
    return parse(shown)


def judge(
    path: Path, usage: Usage, space_limit: float, inodes_limit: float, alert: bool
) -> tuple[Result, ...]:
    """The verdicts on space and on inodes."""
    seen = (("disk", usage.space_percent, space_limit, "of its space"),
            ("inodes", usage.inodes_percent, inodes_limit, "of its inodes"))  # fmt: skip
    return tuple(
        Result(
            check,
            str(path),
            f"{percent:.1f} % {of} are used, the limit is {limit:g} %" if percent > limit else "",
            f"{percent:.1f} % used",
            alert,
        )
        for check, percent, limit, of in seen
    )
