#!/usr/bin/env python3
"""Builds `.cache/grafana/repository`: a signed apt archive with a package called grafana.

Which package that is: the file of GRAFANA_DEB; else the newest of Grafana's own archive, where
it is reached; else the stand-in that lies beside this file. Only the standard library is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import testbed
from grafana import archive

HERE = Path(__file__).resolve().parent
CACHE = testbed.CACHE / "grafana"
REPOSITORY = CACHE / "repository"
DEFAULTS = testbed.ROOT / "roles/grafana/defaults/main.yml"
STANDIN_VERSION = "12.0.0~standin1"
# An answer is believed for as long: a scenario does not ask again for each of its hosts.
REACHED_MAX_AGE_SECONDS = 6 * 3600
KEEP_SECONDS = 24 * 3600


def default(name: str, text: str, otherwise: str) -> str:
    """A plain string of the role's defaults (YAML is not in the standard library)."""
    found = re.search(rf"^{name}:\s*[\"']?([^\"'#\s]+)", text, re.MULTILINE)
    return found[1] if found else otherwise


def place() -> tuple[str, str]:
    """Grafana's own archive: its URL (empty where the role names none) and suite."""
    text = DEFAULTS.read_text(encoding="utf-8") if DEFAULTS.exists() else ""
    url = default("grafana_repository_url", text, "")
    return url, default("grafana_repository_suite", text, "stable")


def standin_inputs() -> dict[Path, Path]:
    """Every file of the stand-in package: where it is installed, and where it lies here."""
    package = HERE / "package"
    inputs = {
        path.relative_to(package): path for path in sorted(package.rglob("*")) if path.is_file()
    }
    for path in sorted((HERE / "standin").glob("*.py")):
        inputs[Path("usr/share/grafana/bin/standin") / path.name] = path
    return inputs


def build_standin(folder: Path) -> Path:
    """Pack the stand-in; returns the .deb."""
    tree = folder / "tree"
    for target, source in standin_inputs().items():
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tree / target)
        program = target.parts[-2] in ("bin", "sbin") or target.name in ("postinst", "prerm")
        (tree / target).chmod(0o755 if program else 0o644)
    for path in [tree, *tree.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    control = tree / "DEBIAN/control"
    text = control.read_text(encoding="utf-8").replace("@VERSION@", STANDIN_VERSION)
    control.write_text(text, encoding="utf-8")
    deb = folder / "grafana.deb"
    archive.command("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", tree, deb)
    return deb


def choose(folder: Path) -> tuple[str, Path]:
    """What kind of package it is, and its file."""
    given = os.environ.get("GRAFANA_DEB")
    if given:
        deb = Path(given)
        if not deb.is_file():
            raise archive.ArchiveError(f"GRAFANA_DEB={given}: there is no such file")
        return "real package", deb
    url, suite = place()
    if url.startswith("http"):
        architecture = archive.command("dpkg", "--print-architecture").strip()
        try:
            entry = archive.newest_listed(url, suite, "grafana", architecture)
        except archive.ArchiveError as error:
            testbed.say(f"Grafana's archive is not reached ({error})")
            entry = None
        if entry:
            deb = folder / "downloaded.deb"
            deb.write_bytes(archive.download(url, entry))
            return "downloaded package", deb
    return "stand-in", build_standin(folder)


def fingerprint_of_inputs() -> str:
    """A sum of all that decides what is built, so that the same is not built twice."""
    total = hashlib.sha256(repr((place(), STANDIN_VERSION)).encode())
    for target, source in standin_inputs().items():
        total.update(f"{target} ".encode() + source.read_bytes())
    for module in (HERE / "archive.py", Path(__file__)):
        total.update(module.read_bytes())
    given = os.environ.get("GRAFANA_DEB", "")
    if given and Path(given).is_file():
        about = Path(given).stat()
        given += f" {about.st_size} {about.st_mtime_ns}"
    total.update(given.encode())
    return total.hexdigest()


def is_fresh(about: dict[str, str], inputs: str, now: float) -> bool:
    """Whether the archive that is there is that of these inputs."""
    if about.get("inputs") != inputs:
        return False
    if os.environ.get("GRAFANA_DEB"):
        return True
    return now - float(about.get("built", "0")) < REACHED_MAX_AGE_SECONDS


def publish(new: Path) -> None:
    """Swap the archive in by one rename; an older one stays for the hosts that have it mounted."""
    builds = CACHE / "builds"
    builds.mkdir(exist_ok=True)
    for old in builds.iterdir():
        if time.time() - old.stat().st_mtime > KEEP_SECONDS and old != REPOSITORY.resolve():
            shutil.rmtree(old)
    target = builds / f"{time.time_ns()}"
    new.rename(target)
    link = CACHE / "repository.new"
    link.unlink(missing_ok=True)
    link.symlink_to(target.relative_to(CACHE))
    if REPOSITORY.is_dir() and not REPOSITORY.is_symlink():
        REPOSITORY.rename(builds / f"{time.time_ns()}")
    link.rename(REPOSITORY)


def ensure() -> dict[str, str]:
    """Build the archive where it is missing or old; returns what repository.json says."""
    testbed.ensure_packages()
    with testbed.locked("grafana-repository"):
        CACHE.mkdir(parents=True, exist_ok=True)
        stamp, inputs = CACHE / "built.json", fingerprint_of_inputs()
        known = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
        if REPOSITORY.exists() and is_fresh(known, inputs, time.time()):
            shown: dict[str, str] = json.loads((REPOSITORY / "repository.json").read_text("utf-8"))
            return shown
        os.umask(0o022)  # apt reads it as a user of its own
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            kind, deb = choose(Path(work))
            new = Path(work) / "repository"
            new.mkdir()
            signed = archive.build(new, place()[1], [deb], CACHE / "gnupg")
            version = archive.command("dpkg-deb", "-f", deb, "Version").strip()
            about = {"kind": kind, "version": version, "fingerprint": signed}
            (new / "repository.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
            publish(new)
        stamp.write_text(
            json.dumps({"inputs": inputs, "built": str(time.time())}), encoding="utf-8"
        )
        return about


def main() -> int:
    try:
        testbed.become_root()
        about = ensure()
    except (archive.ArchiveError, testbed.TestbedError) as error:
        testbed.say(str(error))
        return 1
    testbed.say(f"grafana {about['version']}: {about['kind']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
