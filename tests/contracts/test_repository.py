"""The repository speaks of itself alone, and what it says of itself is so."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# What runs leave behind; .gitignore says the same.
MADE = {".git", ".cache", "__pycache__", ".hypothesis", ".mypy_cache", ".ruff_cache"}


def _walk() -> list[Path]:
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - MADE)
        found += [Path(folder, file) for file in sorted(files) if not file.endswith(".pyc")]
    return found


FILES = _walk()
PYTHON = [file for file in FILES if file.suffix == ".py"]
MARKDOWN = [file for file in FILES if file.suffix == ".md"]
MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text(path: Path) -> str:
    """A file as text; empty for what is none (a picture)."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def lines_with(pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{name(path)}:{number}: {line.strip()[:100]}"
        for path in FILES
        for number, line in enumerate(text(path).splitlines(), 1)
        if wanted.search(line)
    ]


def test_there_are_files() -> None:
    assert len(PYTHON) > 20
    assert MODULES


# --- it stands alone ---


# Each pattern is written so that it does not find itself.
@pytest.mark.parametrize(
    "pattern",
    [
        r"(?<![\w.}])/wor[k]/",
        r"/root/[.]pyen[v]",
        r"(?<![\w.}])/home/[a-z]+/",
        r"\bpypi[.]org\b",
        r"\bpythonhosted[.]org\b",
        r"\bdeb[.]debian[.]org\b",
        r"\bsecurity[.]debian[.]org\b",
        r"\bsnapshot[.]debian[.]org\b",
        r"\bregistry[.]npmjs[.]org\b",
        r"\bgalaxy[.]ansible[.]com\b",
        r"\b(?:docker[.]io|ghcr[.]io|quay[.]io)\b",
        r"\bproxy[.]golang[.]org\b",
        r"\bcrates[.]io\b",
        r"\brubygems[.]org\b",
    ],
)
def test_no_path_or_registry_of_a_build_machine(pattern: str) -> None:
    assert lines_with(pattern) == []


def test_nothing_is_left_to_do() -> None:
    assert lines_with(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b") == []


# --- Python ---


@cache
def declared_minimum() -> tuple[int, int]:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    found = re.fullmatch(r">=(\d+)\.(\d+)", project["requires-python"])
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_python_compiles_with_the_declared_minimum(path: Path) -> None:
    ast.parse(text(path), name(path), feature_version=declared_minimum())


def test_tools_check_against_the_declared_minimum() -> None:
    tools = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]
    major, minor = declared_minimum()
    assert tools["ruff"]["target-version"] == f"py{major}{minor}"
    assert tools["mypy"]["python_version"] == f"{major}.{minor}"
    assert f"sys.version_info < ({major}, {minor})" in text(ROOT / "molecule/shared/bootstrap")


# --- the control node's tools ---


def pinned() -> dict[str, str]:
    lines = text(ROOT / "requirements.txt").splitlines()
    wanted = [line for line in lines if line.strip() and not line.startswith("#")]
    versions = {}
    for line in wanted:
        found = re.fullmatch(r"([A-Za-z0-9._-]+)==((?:[0-9]+!)?[0-9][0-9a-z.]*)", line)
        assert found, f"not pinned: {line}"
        versions[found[1].lower()] = found[2]
    assert len(versions) == len(wanted), "one of them stands twice"
    return versions


def test_requirements_are_pinned() -> None:
    assert {"ansible-core", "pytest", "molecule"} <= set(pinned())


def test_collections_are_those_that_the_requirements_bring() -> None:
    listed = subprocess.run(
        [Path(sys.executable).with_name("ansible-galaxy"), "collection", "list", "--format=json"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    brought = {
        collection: about["version"]
        for folder, collections in json.loads(listed.stdout).items()
        if "site-packages" in folder
        for collection, about in collections.items()
    }
    required = yaml.safe_load(text(ROOT / "requirements.yml"))["collections"]
    assert required
    for collection in required:
        assert brought.get(collection["name"]) == collection["version"], collection["name"]


def test_collections_that_are_used_are_required() -> None:
    required = {
        entry["name"] for entry in yaml.safe_load(text(ROOT / "requirements.yml"))["collections"]
    }
    spaces = "|".join({re.escape(collection.split(".")[0]) for collection in required})
    used = {
        f"{found[1]}.{found[2]}"
        for path in FILES
        if path.suffix in (".yml", ".j2", ".cfg")
        for found in re.finditer(rf"\b({spaces})\.([a-z_]+)\.[a-z_]+", text(path))
    }
    assert used - required == {"ansible.builtin"}


# --- make ---


def targets() -> dict[str, str]:
    """Every target that a person may call, with its help."""
    found = re.findall(r"^([a-z][a-z-]*):(?!=)([^\n]*)", text(ROOT / "Makefile"), re.MULTILINE)
    return {target: rest.partition("## ")[2].strip() for target, rest in found}


def test_every_target_has_its_help() -> None:
    assert len(targets()) > 10
    assert [target for target, about in targets().items() if not about] == []


def test_every_target_is_phony() -> None:
    found = re.search(r"^\.PHONY: (.+)$", text(ROOT / "Makefile"), re.MULTILINE)
    assert found
    assert set(found[1].split()) == set(targets())


def test_help_shows_every_target() -> None:
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    ).stdout
    assert set(re.findall(r"^ +make ([a-z-]+) ", shown, re.MULTILINE)) == set(targets())


def test_readme_has_a_table_of_commands() -> None:
    readme = ROOT / "README.md"
    assert readme.exists()
    named = set(re.findall(r"^\| `make ([a-z-]+)", text(readme), re.MULTILINE))
    assert {"demo", "test"} <= named


@pytest.mark.parametrize("path", MARKDOWN, ids=name)
def test_make_targets_that_a_page_names_exist(path: Path) -> None:
    named = set(re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z][a-z-]*)", text(path)))
    named |= set(re.findall(r"^\s*(?:\$ )?make ([a-z][a-z-]*)", text(path), re.MULTILINE))
    assert named <= set(targets())


def test_every_scenario_has_check_mode_and_a_second_run() -> None:
    """Molecule says nothing where a folder of tests that a sequence names is empty."""
    base = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text("utf-8"))
    own = [yaml.safe_load(file.read_text("utf-8")) for file in ROOT.glob("molecule/*/molecule.yml")]
    asked = [(one or {}).get("scenario", {}).get("test_sequence") for one in (base, *own)]
    sequences = [steps for steps in asked if steps]
    assert sequences
    for steps in sequences:
        at = steps.index("converge")
        assert {"verify ../shared/before", "check"} & set(steps[:at])
        assert {"verify ../shared/again", "idempotence"} & set(steps[at:])
        for folder in [step.split()[1] for step in steps if step.startswith("verify ")]:
            assert list((ROOT / "molecule/base" / folder).glob("test_*.py")), folder


def test_ci_runs_what_the_readme_says() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    code = [line for line in text(script).splitlines() if not line.startswith("#")]
    assert any(re.fullmatch(r"(?:exec )?make test", line.strip()) for line in code)
    assert any(re.match(r"set -\w*e", line) for line in code)


# --- pages ---


def prose(path: Path) -> str:
    """A page without its examples."""
    return re.sub(r"^(```|~~~).*?^\1", "", text(path), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page, made of its headings as GitHub and GitLab make them."""
    found: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', prose(path)))
    count: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        seen = count.get(slug, 0)
        count[slug] = seen + 1
        found.add(f"{slug}-{seen}" if seen else slug)
    return found


@pytest.mark.parametrize("path", MARKDOWN, ids=name)
def test_links_inside_of_the_repository_lead_somewhere(path: Path) -> None:
    page = re.sub(r"`[^`\n]*`", "", prose(path))
    links = re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", page)
    links += re.findall(r"^\[[^\]]+\]: +(\S+)", page, re.MULTILINE)
    for link in links:
        if re.match(r"[a-z+]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{link}: there is no such file"
        assert target.is_relative_to(ROOT), f"{link}: outside of the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


# --- modules ---


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Asked(Exception):  # noqa: N818
    """What a module's main() hands to AnsibleModule."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.spec: dict[str, dict[str, Any]] = arguments["argument_spec"]


def as_spec(documented: dict[str, Any]) -> dict[str, Any]:
    """The argument spec of an option as its documentation says it, which has to describe it."""
    about = {**documented}
    assert about.pop("description")
    if "suboptions" in about:
        about["options"] = {k: as_spec(v) for k, v in about.pop("suboptions").items()}
    return about


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_module_documents_the_options_that_it_takes(path: Path) -> None:
    def ask(**arguments: Any) -> None:
        raise Asked(**arguments)

    module = load(path)
    vars(module)["AnsibleModule"] = ask
    with pytest.raises(Asked) as asked:
        module.main()
    documented = yaml.safe_load(module.DOCUMENTATION)
    assert documented["module"] == path.stem
    assert set(documented["options"]) == set(asked.value.spec)
    for option, spec in asked.value.spec.items():
        assert as_spec(documented["options"][option]) == spec, option


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_examples_use_options_that_exist(path: Path) -> None:
    module = load(path)
    known = set(yaml.safe_load(module.DOCUMENTATION)["options"])
    tasks = yaml.safe_load(module.EXAMPLES)
    assert tasks
    for task in tasks:
        assert set(task[path.stem]) <= known
    assert yaml.safe_load(module.RETURN)
