"""Pin Bugsink and all that it needs, with hashes for both releases of Debian and two processors.

python3 tools/bugsink_requirements.py VERSION writes roles/bugsink/files/requirements.txt. Asks the
index of packages that pip is configured for, and fails where something is no wheel.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "roles/bugsink/files/requirements.txt"
PYTHONS = ("3.11", "3.13")  # Debian 12 and 13
MACHINES = ("x86_64", "aarch64")
# As in roles/bugsink/files/fetch_wheels.sh
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010")
TIMEOUT_SECONDS = 600


def resolved(version: str, python: str, machine: str) -> list[dict[str, Any]]:
    """What pip would install there, as its report has it."""
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    argv += ["--report", "-", "--target", "unused", "--only-binary", ":all:"]
    argv += ["--python-version", python]
    argv += [word for name in PLATFORMS for word in ("--platform", f"{name}_{machine}")]
    argv += [f"bugsink=={version}", "psycopg[binary]"]
    done = subprocess.run(argv, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
    installed: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return installed


def requirements(reports: list[list[dict[str, Any]]]) -> str:
    """The lines of a requirements file that fits all of them; ValueError where they differ."""
    versions: dict[str, str] = {}
    hashes: dict[str, set[str]] = {}
    for package in (package for report in reports for package in report):
        about = package["metadata"]
        name = about["name"].lower().replace("_", "-")
        if versions.setdefault(name, about["version"]) != about["version"]:
            raise ValueError(f"{name}: {versions[name]} here, {about['version']} there")
        found = package["download_info"]["archive_info"]["hashes"]["sha256"]
        hashes.setdefault(name, set()).add(found)
    lines = []
    for name in sorted(versions):
        known = [f"    --hash=sha256:{digest}" for digest in sorted(hashes[name])]
        lines.append(" \\\n".join([f"{name}=={versions[name]}", *known]))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file."""
    version = sys.argv[1]
    reports = [resolved(version, python, machine) for python in PYTHONS for machine in MACHINES]
    head = f"# Made by `make bugsink-requirements BUGSINK={version}`: do not edit.\n"
    FILE.write_text(head + requirements(reports), encoding="utf-8")


if __name__ == "__main__":
    main()
