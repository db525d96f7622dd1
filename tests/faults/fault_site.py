"""A site of one host in a container of its own, for faults that would spoil anybody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hosts import entered
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[2]
TESTBED = [sys.executable, str(ROOT / "molecule/shared/testbed.py")]
RUN_SECONDS = 600


@dataclass(frozen=True)
class Site:
    """One monitoring host, its inventory, and how an operator runs a playbook against it."""

    run_id: str
    inventory: Path

    @property
    def host(self) -> Host:
        return entered(f"{self.run_id}-mon")

    def command(self, *arguments: str) -> list[str]:
        return ["ansible-playbook", "-i", str(self.inventory), *(arguments or ("site.yml",))]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            timeout=RUN_SECONDS,
        )

    @property
    def environment(self) -> dict[str, str]:
        facts = str(self.inventory.parent / "facts")
        return {**os.environ, "NO_COLOR": "1", "ANSIBLE_CACHE_PLUGIN_CONNECTION": facts}
