"""What systemd is asked, and how its answers are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookout.backup.restore import units
from lookout.backup.restore.units import Systemd, UnitsError

# Answers with the file of each unit; a call may change what the next one finds.
SYSTEMCTL = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> calls
verb=$1
while [ "$1" != -- ]; do shift; done
shift
[ ! -e "$verb.fails" ] || { echo "no $verb today" >&2; exit 1; }
if [ "$verb" = show ]; then
    for unit; do
        cat "$unit" 2>/dev/null || echo LoadState=not-found
        [ ! -e "$unit.then" ] || mv "$unit.then" "$unit"
        echo
    done
else
    for unit; do [ ! -e "$unit.$verb" ] || cp "$unit.$verb" "$unit"; done
fi
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(units, "STAYS_SECONDS", 0.0)
    return tmp_path


def unit(active: str, kind: str = "simple", invocation: str = "1", load: str = "loaded") -> str:
    return (
        f"Type={kind}\nLoadState={load}\nActiveState={active}\nSubState=some\nResult=success\n"
        f"InvocationID={invocation}\n"
    )


def test_what_runs_starts_failed_or_is_enabled_is_wanted_again(host: Path) -> None:
    for name, state in {"a": "active", "b": "inactive", "c": "failed", "d": "activating"}.items():
        (host / f"{name}.service").write_text(unit(state))
    (host / "e.service").write_text(unit("inactive") + "UnitFileState=enabled\n")
    (host / "f.service").write_text(unit("inactive") + "UnitFileState=disabled\n")
    # Of a container
    (host / "g.service").write_text(unit("inactive") + "UnitFileState=generated\n")
    names = [f"{name}.service" for name in "abcdefgh"]
    assert Systemd().ran(names) == tuple(f"{name}.service" for name in "acdeg")
    assert Systemd().ran([]) == ()


def test_what_is_not_there_is_not_stopped(host: Path) -> None:
    (host / "a.service").write_text(unit("active"))
    (host / "a.service.stop").write_text(unit("inactive"))
    Systemd().stop(["a.service", "gone.service"])
    assert "stop -- a.service\n" in (host / "calls").read_text()


def test_what_runs_on_after_a_stop_is_a_failure(host: Path) -> None:
    (host / "a.service").write_text(unit("active"))
    with pytest.raises(UnitsError, match=r"a\.service was told to stop, and is active"):
        Systemd().stop(["a.service"])


def test_what_a_timer_has_started_is_ended_and_not_started_again(host: Path) -> None:
    """Neither is it one that failed; what had failed before still has."""
    for name, state in {"a": "activating", "b": "inactive", "c": "failed"}.items():
        (host / f"{name}.timer").write_text(unit("active") + f"Triggers={name}.service\n")
        (host / f"{name}.timer.stop").write_text(unit("inactive"))
        (host / f"{name}.service").write_text(unit(state, "oneshot"))
    (host / "a.service.stop").write_text(unit("failed", "oneshot"))
    (host / "gone.timer").write_text(unit("inactive") + "Triggers=gone.service\n")
    timers = ["a.timer", "b.timer", "c.timer", "gone.timer"]
    ran = Systemd().ran(timers)
    assert ran == ("a.timer", "b.timer", "c.timer")
    Systemd().stop(timers)
    told = [line for line in (host / "calls").read_text().splitlines() if "show" not in line]
    assert told == [
        "stop -- a.timer b.timer c.timer gone.timer",
        "stop -- a.service b.service c.service",
        "reset-failed -- a.service",
    ]


def test_what_a_timer_has_started_and_runs_on_is_a_failure(host: Path) -> None:
    (host / "a.timer").write_text(unit("inactive") + "Triggers=a.service\n")
    (host / "a.service").write_text(unit("activating", "oneshot"))
    with pytest.raises(UnitsError, match=r"a\.service was told to stop, and is activating"):
        Systemd().stop(["a.timer"])


def test_what_systemctl_says_is_passed_on(host: Path) -> None:
    (host / "start.fails").touch()
    (host / "reset-failed.fails").touch()
    with pytest.raises(UnitsError, match="no start today"):
        Systemd().start(["a.service"])
    assert (host / "calls").read_text().startswith("reset-failed -- a.service\n")


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        (unit("active"), unit("active"), ""),
        (unit("activating"), unit("active"), ""),
        (unit("inactive", "oneshot"), unit("inactive", "oneshot"), ""),
        (unit("active"), unit("failed"), "a.service is failed (some, success)"),
        (unit("active"), unit("active", invocation="2"), "does not stay active"),
        (unit("failed", "oneshot"), unit("failed", "oneshot"), "a.service is failed"),
        (unit("inactive"), unit("inactive"), "a.service is inactive"),
    ],
)
def test_what_does_not_stay_active(host: Path, first: str, then: str, says: str) -> None:
    (host / "a.service").write_text(first)
    (host / "a.service.then").write_text(then)
    found = list(Systemd().problems(["a.service"]))
    assert bool(found) == bool(says)
    assert says in "".join(found)
