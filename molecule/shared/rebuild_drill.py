"""Lose the demo's monitoring host, build it anew from the repository and its backups, and compare.

A demo that runs is drilled and runs on; where none runs, one is built and taken away afterwards.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import demo
import testbed

HOST = f"{demo.RUN_ID}-demo"
STATE = Path(__file__).with_name("demo_state.py")
BACKUP_WAIT_SECONDS = 600
# What has to be there, so that a comparison says something
KINDS = ("series", "silences", "status page's history", "errors", "models and tokens")


class DrillError(Exception):
    """What is missing, or what kept the drill from its end."""


class Watch:
    """Times the steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One of them, said before and timed after."""
        testbed.say(what)
        started = time.monotonic()
        yield
        self.steps.append((what, (time.monotonic() - started) / 60))


def on_host(*argv: str, told: str = "") -> str:
    return testbed.podman("exec", "--interactive", HOST, *argv, input=told).stdout


def state(*arguments: str, password: str) -> str:
    """What demo_state.py says on the host."""
    put = ["sh", "-c", "umask 077; cat > /run/demo_state.py"]
    on_host(*put, told=STATE.read_text(encoding="utf-8"))
    return on_host("python3", "/run/demo_state.py", *arguments, told=password)


def back_up() -> None:
    """Save all of the host; a first backup may be on its way."""
    until = time.monotonic() + BACKUP_WAIT_SECONDS
    unit = "lookout-backup.service"
    while "activating" in on_host("systemctl", "show", "--property=ActiveState", unit):
        if time.monotonic() > until:
            raise DrillError(f"{unit} does not come to its end")
        time.sleep(2)
    on_host("systemctl", "start", unit)


def compare(before: dict[str, list[str]], after: dict[str, list[str]]) -> tuple[str, list[str]]:
    """A table, and what is missing. What came on top since is no fault."""
    lines = [f"  {'what':<24}{'before':>8}{'missing':>9}"]
    missing = [f"{kind}: nothing to compare with" for kind in KINDS if not before.get(kind)]
    for kind, had in sorted(before.items()):
        gone = sorted(set(had) - set(after.get(kind, [])))
        lines.append(f"  {kind:<24}{len(set(had)):>8}{len(gone):>9}")
        missing += [f"{kind}: {one[:200]}" for one in gone]
    return "\n".join(lines), missing


def drill(settings: dict[str, object] | None, watch: Watch) -> list[str]:
    """The drill on a demo that runs; what is missing afterwards."""
    told = demo.inventory(settings)
    admin = demo.SECRETS / "grafana_admin"
    password = admin.read_text(encoding="utf-8") if settings else ""
    with watch.step("put what nobody else has onto the host"):
        moment = state("put", password=password).strip()
        before = json.loads(state("read", moment, password=password))
    with watch.step("back it up"):
        back_up()
    with watch.step("destroy it"):
        testbed.podman("rm", "--force", "--time", "0", "--volumes", HOST)
    rebuilt = time.monotonic()
    with watch.step("start an empty host"):
        testbed.up(demo.RUN_ID, demo.hosts(settings)[:1])
    with demo.LOG.open("a", encoding="utf-8") as log:
        with watch.step("build it by site.yml"):
            demo.playbook(log, *told, "site.yml")
        wanted = ["-e", "restore_date=latest", "-e", "restore_confirm=yes", "--limit", "demo"]
        with watch.step("put its data back by playbooks/restore.yml"):
            demo.playbook(log, *told, "playbooks/restore.yml", *wanted)
        with watch.step("make it what the inventory says, by site.yml"):
            demo.playbook(log, *told, "site.yml")
        minutes = (time.monotonic() - rebuilt) / 60
    with watch.step("compare"):
        after = json.loads(state("read", moment, password=password))
    table, missing = compare(before, after)
    print(f"\n  {'step':<44}minutes")
    for what, took in watch.steps:
        print(f"  {what:<44}{took:>7.1f}")
    print(
        f"\n{table}\n\n  From the loss to the host that has its data again: {minutes:.1f} minutes."
    )
    if not settings:
        print("  Dashboards were not compared: this demo has no Grafana.")
    for one in missing:
        print(f"  MISSING {one}")
    # Last: what it finds is no reason to keep the comparison back.
    with demo.LOG.open("a", encoding="utf-8") as log:
        demo.playbook(log, *told, "playbooks/verify.yml")
    return missing


def running() -> str:
    """What is mounted in the demo that runs; empty where none does."""
    return testbed.podman("ps", "--filter", f"name=^{HOST}$", "--format", "{{.Mounts}}").stdout


def main() -> int:
    found = running()
    try:
        settings = demo.grafana_settings()
        watch = Watch()
        # One from before there were backups is built anew.
        if "/backup" not in found:
            with watch.step("build the demo"):
                demo.up()
        missing = drill(settings, watch)
        print("\n  " + ("The drill FAILED." if missing else "Nothing is missing."))
    except (testbed.TestbedError, DrillError) as error:
        testbed.say(str(error))
        return 1
    finally:
        if not found:
            demo.down()
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
