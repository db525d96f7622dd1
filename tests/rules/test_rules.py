"""Every alert's promtool tests, on the rules as a Prometheus host has them, with thresholds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from plugins.filter import thresholds

ROOT = Path(__file__).parents[2]
RULE_FILES = sorted(ROOT.glob("roles/*/files/alerts/*.yml"))
TEST_FILES = sorted(ROOT.glob("roles/*/files/alerts/tests/*_test.yml"))
THRESHOLD_FILES = sorted(ROOT.glob("roles/*/files/thresholds/*.yml"))

# A role one of whose alerts is about thresholds as such -> another one that has some
ASKS_FOR_ANY = {"prometheus": "alertmanager"}

# A test file of seven days of rules takes 2 s; the machines of CI are slow and shared.
PROMTOOL_TIMEOUT_SECONDS = 180


def _site(folder: Path, overrides: dict[str, dict[str, float]]) -> Path:
    """Fill the folder with what a Prometheus host of a site with these overrides has."""
    for path in RULE_FILES:
        target = folder / path.name
        assert not target.exists(), f"two roles have a rule file named {path.name}"
        shutil.copy(path, target)
    return _thresholds(folder, THRESHOLD_FILES, overrides)


def _thresholds(
    folder: Path, files: Iterable[Path], overrides: dict[str, dict[str, float]]
) -> Path:
    """Write the recording rules of these files' thresholds."""
    defaults = {path.stem: yaml.safe_load(path.read_text()) for path in files}
    rules = thresholds.threshold_rules(defaults, overrides)
    (folder / "thresholds.yml").write_text(yaml.safe_dump(rules, sort_keys=False))
    return folder


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return promtool's path. Without it nothing here is proven, so its absence is a failure."""
    path = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not path or not Path(path).is_file():
        pytest.fail(
            f"promtool is not at {path or 'any place in PATH'}: install it (Debian 13: promtool, "
            "Debian 12: prometheus), or name it in the environment variable PROMTOOL",
            pytrace=False,
        )
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all rule files and the thresholds of a site that changes none."""
    return _site(tmp_path_factory.mktemp("rules"), {})


def _run(promtool: str, folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [promtool, *arguments],
        cwd=folder,
        # Fewer collections of a heap that stays small: a fifth of promtool's processor time
        env={**os.environ, "GOGC": "400"},
        capture_output=True,
        text=True,
        timeout=PROMTOOL_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{done.stdout}\n{done.stderr}", pytrace=False)


def test_rule_files_are_valid(promtool: str, site: Path) -> None:
    _run(promtool, site, "check", "rules", *sorted(path.name for path in site.glob("*.yml")))


def _name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("test_file", TEST_FILES, ids=_name)
def test_alerts(test_file: Path, promtool: str, site: Path, tmp_path: Path) -> None:
    """With the thresholds of its role alone, as no alert uses others (contracts/test_alerts.py).

    promtool evaluates all that it is given: those of all roles took two thirds of its time.
    """
    folder = shutil.copytree(site, tmp_path / "rules")
    role = test_file.parents[3].name
    named = {role, ASKS_FOR_ANY.get(role)}
    _thresholds(folder, [path for path in THRESHOLD_FILES if path.stem in named], {})
    shutil.copy(test_file, folder)
    _run(promtool, folder, "test", "rules", test_file.name)


def test_a_host_can_have_its_own_threshold(promtool: str, tmp_path: Path) -> None:
    overrides: dict[str, dict[str, float]] = {
        "web1": {},
        "web2": {},
        "batch-1.example": {"memory_available_percent": 4},
    }
    folder = _site(tmp_path, overrides)
    shutil.copy(Path(__file__).with_name("override_test.yml"), folder)
    _run(promtool, folder, "test", "rules", "override_test.yml")
