"""Units that must not run while their data is replaced: stopped, started, watched for a while."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

# As long as systemd itself waits for a unit by default, and then some
_LIMIT_SECONDS = 240
# What fails at its start mostly does so within this
STAYS_SECONDS = 6.0
_STARTING_SECONDS = 90.0

Properties = dict[str, str]


class UnitsError(Exception):
    """What systemd did not do."""


class Units(Protocol):
    """The units of a host."""

    def ran(self, units: Sequence[str]) -> tuple[str, ...]:
        """Which of them are wanted: they run, start, failed, or start with the host."""

    def stop(self, units: Sequence[str]) -> None:
        """Stop them, and what their timers started. Raises UnitsError unless all have ended."""

    def start(self, units: Sequence[str]) -> None:
        """Start them. Raises UnitsError where one does not."""

    def problems(self, units: Sequence[str]) -> Iterator[str]:
        """Which of them do not stay active."""


class Systemd:
    """The units of this host."""

    def ran(self, units: Sequence[str]) -> tuple[str, ...]:
        """Which of them are wanted. One that failed counts: the restore may be what it needs.

        So does one that starts with the host: who stopped it did so before the restore, for it.
        """
        return tuple(
            unit
            for unit, state in self._show(units).items()
            if state["LoadState"] == "loaded"
            and (
                state["ActiveState"] not in ("inactive", "")
                or state["UnitFileState"] in ("enabled", "enabled-runtime", "generated")
            )
        )

    def stop(self, units: Sequence[str]) -> None:
        """Stop them, and what their timers started. Raises UnitsError unless all have ended."""
        there = self._loaded(units)
        self._call("stop", there)
        # A timer that ends leaves what it has started; now it starts no more.
        triggered = {unit: None for state in there.values() for unit in state["Triggers"].split()}
        started = self._loaded([unit for unit in triggered if unit not in there])
        self._call("stop", started)
        states = self._show([*there, *started])
        for unit, state in states.items():
            if state["ActiveState"] not in ("inactive", "failed"):
                raise UnitsError(f"{unit} was told to stop, and is {state['ActiveState']}")
        for unit, before in started.items():
            # A oneshot that is told to end has failed, for systemd.
            if states[unit]["ActiveState"] == "failed" != before["ActiveState"]:
                _systemctl("reset-failed", "--", unit)

    def start(self, units: Sequence[str]) -> None:
        """Start them, also those that were started too often."""
        if units:
            # Refused for one that systemd has forgotten, which has no failure to be forgotten.
            _systemctl("reset-failed", "--", *units)
            self._call("start", units)

    def problems(self, units: Sequence[str]) -> Iterator[str]:
        """Which of them do not become active, or do not stay so without a restart."""
        first = self._awaited(units)
        time.sleep(STAYS_SECONDS if units else 0)
        for unit, state in self._show(units).items():
            if not _is_well(state):
                yield f"{unit} is {state['ActiveState']} ({state['SubState']}, {state['Result']})"
            elif state["InvocationID"] != first[unit]["InvocationID"]:
                yield f"{unit} does not stay active: it started again"

    def _awaited(self, units: Sequence[str]) -> dict[str, Properties]:
        until = time.monotonic() + _STARTING_SECONDS
        while True:
            states = self._show(units)
            starting = [one for one in states.values() if one["ActiveState"] == "activating"]
            if not starting or time.monotonic() > until:
                return states
            time.sleep(0.5)

    def _loaded(self, units: Sequence[str]) -> dict[str, Properties]:
        return {
            unit: one for unit, one in self._show(units).items() if one["LoadState"] == "loaded"
        }

    @staticmethod
    def _show(units: Sequence[str]) -> dict[str, Properties]:
        if not units:
            return {}
        names = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,Type,InvocationID,Triggers"
        done = _systemctl("show", "--no-pager", f"--property={names}", "--", *units)
        blocks = done.stdout.strip().split("\n\n")
        if done.returncode != 0 or len(blocks) != len(units):
            raise UnitsError(f"systemctl does not tell of {', '.join(units)}: {done.stderr}")
        empty = dict.fromkeys(names.split(","), "")
        return {
            unit: {**empty, **dict(line.split("=", 1) for line in block.splitlines())}
            for unit, block in zip(units, blocks, strict=True)
        }

    @staticmethod
    def _call(verb: str, units: Collection[str]) -> None:
        if units:
            done = _systemctl(verb, "--", *units)
            if done.returncode != 0:
                raise UnitsError(f"systemctl {verb} {' '.join(units)}: {done.stderr.strip()}")


def _is_well(state: Properties) -> bool:
    if state["Type"] == "oneshot":
        return state["ActiveState"] in ("active", "inactive", "activating")
    return state["ActiveState"] in ("active", "reloading")


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["systemctl", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UnitsError(f"systemctl {arguments[0]} took longer than {error.timeout} s") from error
