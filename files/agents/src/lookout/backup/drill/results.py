"""What a drill found, of a part, of a host, and of all."""

from __future__ import annotations

from dataclasses import dataclass

# The backup is good; it is bad; nobody could tell, as something else did not work.
PASSED, FAILED, ERROR = "passed", "failed", "error"
RESULTS = (PASSED, FAILED, ERROR)


def worst(results: list[str]) -> str:
    """The result of several: one that is bad outweighs one that nobody could judge."""
    return next((one for one in (FAILED, ERROR) if one in results), PASSED)


@dataclass(frozen=True)
class PartResult:
    """What was found of one part. It passed where nothing is wrong and nothing kept us from it."""

    part: str
    failures: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    # What was not looked at, and why
    notes: tuple[str, ...] = ()
    snapshot: str = ""
    # When the run began that saved it, seconds since 1970
    saved: float | None = None
    bytes: int | None = None
    restore_seconds: float | None = None
    judge_seconds: float | None = None

    @property
    def result(self) -> str:
        """Passed, failed or error."""
        return FAILED if self.failures else ERROR if self.errors else PASSED


@dataclass(frozen=True)
class HostResult:
    """What was found of the backup of one host."""

    host: str
    parts: tuple[PartResult, ...] = ()
    # What concerns no part alone
    failures: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    # What is worth knowing, and no fault
    notes: tuple[str, ...] = ()
    # The host says that it has nothing to save.
    nothing: bool = False

    @property
    def result(self) -> str:
        """Passed, failed or error. Where nothing was judged that is there, nothing has passed."""
        if self.failures:
            return FAILED
        if self.errors or not (self.parts or self.nothing):
            return worst([ERROR, *(part.result for part in self.parts)])
        return worst([part.result for part in self.parts])

    @property
    def restore_seconds(self) -> float | None:
        """How long it took to get all that was restored from the store."""
        took = [one.restore_seconds for one in self.parts if one.restore_seconds is not None]
        return sum(took) if took else None

    @property
    def saved(self) -> float | None:
        """When the oldest data was saved that was judged."""
        return min((one.saved for one in self.parts if one.saved is not None), default=None)


@dataclass(frozen=True)
class Drill:
    """One drill of one or several hosts."""

    # The host that it took place on
    instance: str
    started: float
    seconds: float
    hosts: tuple[HostResult, ...]
    # Whether it was asked for some of the parts alone
    partial: bool = False

    @property
    def result(self) -> str:
        """The worst of all hosts."""
        return worst([host.result for host in self.hosts])
