"""What a role registered for the backup: saved, judged and put back by the real sources.

The scenarios of roles have no agent: the sources come from the repository, as they are here.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml
from hosts import put
from testinfra.backend.base import CommandResult
from testinfra.host import Host

from lookout.backup.parts import Part
from lookout.kit import config

ROOT = Path(__file__).parents[2]
# What anybody may enter, as a drill has no rights
PLACE = "/srv/lookout-test"
STAGE = f"{PLACE}/stage"
# As a restored snapshot looks to a drill: somebody else's, below a folder of its own
DRILL = f"{PLACE}/drill"


class Registered:
    """One part on one host."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.file = f"/etc/lookout/backup.d/{name}.yml"
        self.part = config.parse(Part, host.check_output(f"cat {self.file}"), f"{name}.yml")
        if not host.file(f"{PLACE}/lookout").exists:
            self._bring()

    def _bring(self) -> None:
        self.host.check_output(f"install -d {PLACE}")
        for folder in (ROOT / "files/agents/src/lookout", Path(yaml.__file__).parent):
            copy = ["podman", "cp", str(folder), f"{self.host.backend.name}:{PLACE}/"]
            subprocess.run(copy, check=True, timeout=60)
        put(self.host, Path(__file__).with_name("sources.py"))
        # yaml without what is compiled for the control node
        self.host.check_output(f"rm -f {PLACE}/yaml/*.so && mv /root/sources.py {PLACE}/")
        self.host.check_output(f"chmod -R u=rwX,go=rX {PLACE}")

    def run(self, verb: str, stage: str = STAGE, *more: str, user: str = "root") -> CommandResult:
        """One step, whatever comes of it."""
        words = [verb, self.file, stage, *more]
        begin = f"cd / && runuser -u {user} -- env PYTHONPATH={PLACE} PYTHONDONTWRITEBYTECODE=1"
        return self.host.run(f"{begin} python3 {PLACE}/sources.py {' '.join(words)}")

    def done(self, verb: str, *more: str) -> None:
        """One step that has to go well."""
        done = self.run(verb, STAGE, *more)
        assert done.rc == 0, done.stdout + done.stderr

    def drill(self) -> None:
        """Save it, and restore it as a drill does."""
        self.done("save")
        self._restore()

    def _restore(self) -> None:
        """Give a copy of what was saved to nobody."""
        self.host.check_output(f"rm -rf {DRILL} && cp -a {STAGE} {DRILL}")
        self.host.check_output(f"install -m 644 {STAGE}.json {DRILL}.json")
        self.host.check_output(f"chown -R nobody: {DRILL} && chmod 700 {DRILL}")

    def judged(self) -> list[str]:
        """What nobody finds wrong with the copy."""
        done = self.run("judge", DRILL, user="nobody")
        assert done.rc == 0, done.stderr
        return str(done.stdout).splitlines()

    def check(self) -> CommandResult:
        """The part's own command, on the copy, by nobody."""
        words = [word.replace("{files}", f"{DRILL}/files") for word in self.part.check]
        return self.host.run(f"runuser -u nobody -- {shlex.join(words)}")

    def assert_a_copy_is_good(self) -> dict[str, Any]:
        """Save it, judge it, look at the units; returns the facts by source."""
        self.drill()
        assert self.judged() == []
        if self.part.check:
            done = self.check()
            assert done.rc == 0, done.stdout + done.stderr
        for unit in self.part.units:
            shown = self.host.check_output("systemctl show --property LoadState --value %s", unit)
            assert shown == "loaded", unit
        facts: dict[str, Any] = yaml.safe_load(self.host.check_output(f"cat {STAGE}.json"))
        return facts

    def assert_damage_is_found(self, command: str, said: str) -> None:
        """Judge what a shell command leaves of the last copy; it runs in its folder."""
        self._restore()
        self.host.check_output(f"cd {DRILL} && {command}")
        found = "\n".join(self.judged())
        assert said in found

    def forget(self) -> None:
        """Nothing of it stays on the host."""
        self.host.check_output(f"rm -rf {PLACE}")
