"""Run a scenario's converge.yml once more from within its tests, with other variables."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 300


def converge(
    *hosts: str, check_mode: bool = False, playbook: str = "converge.yml", **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run the scenario's playbook against some of its hosts; `variables` win over its own.

    The role base, which the first run did, is left out.

    The caller looks at `returncode` and `stdout`: a refused run is what some tests are after.
    """
    facts = f"{os.environ['MOLECULE_EPHEMERAL_DIRECTORY']}/facts"
    return subprocess.run(
        [
            "ansible-playbook",
            "--inventory", str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent),
            "--limit", ",".join(hosts),
            "--skip-tags", "base",
            "--extra-vars", json.dumps(variables),
            "--diff", *(["--check"] if check_mode else []),
            f"{os.environ['MOLECULE_SCENARIO_DIRECTORY']}/{playbook}",
        ],
        cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
        env={
            **os.environ,
            # The facts are those of the first run.
            "ANSIBLE_GATHERING": "smart",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": facts,
            "ANSIBLE_FORCE_COLOR": "0",
            "NO_COLOR": "1",
        },
        text=True,
        capture_output=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )  # fmt: skip


def playbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook as an operator would, against the hosts of this scenario."""
    root = os.environ["MOLECULE_PROJECT_DIRECTORY"]
    inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
    return subprocess.run(
        ["ansible-playbook", "-i", str(inventory), *arguments],
        cwd=root,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": f"{root}/ansible.cfg",
            "ANSIBLE_FORCE_COLOR": "0",
            "NO_COLOR": "1",
        },
        text=True,
        capture_output=True,
        check=False,
        timeout=2 * TIMEOUT_SECONDS,
    )


def changed_tasks(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Names of the tasks that changed something."""
    changed, task = [], ""
    for line in done.stdout.splitlines():
        if line.startswith("TASK ["):
            task = line[len("TASK [") :].rpartition("]")[0]
        elif line.startswith("changed: [") and task not in changed:
            changed.append(task)
    return changed
