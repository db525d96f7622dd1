"""What holds for every role, so that whoever has read one finds the way in all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
# Roles that put something on a host, in the phases that DESIGN names; the others serve them.
SERVICES = [role for role in ROLES if (ROOT / "roles" / role / "tasks/install.yml").exists()]
PHASES = {"preflight", "install", "configure", "run", "register"}
# Phases of one role alone, each with the reason.
OWN_PHASES = {
    "base": {
        "remember",  # what was there before us has to be written down before anything is installed
        "trust",  # a package source behind a proxy is reached only after its CA is trusted
    },
    "tls": {
        "authority",  # the CA is the control node's, not a host's
        "issue",  # nothing runs: what is configured is the certificate
    },
    "postgresql": {
        "cluster",  # the package makes none, as that one would be without checksums
        "standby",  # a copy of another host's server, once that is through
        "objects",  # databases and roles are made by the server itself, once it runs
    },
    "grafana": {
        "permit",  # who may do what is kept in Grafana's database, which its API alone changes
    },
    "health": {
        "remove",  # switched off, it goes from the host as it goes with the host
    },
    "firewall": {
        "remove",  # switched off, it goes from the host as it goes with the host
    },
}

# Labels with two underscores belong to Prometheus' relabelling.
OF_PROMETHEUS = re.compile(r"__(?:address__|metrics_path__|name__|(?:meta|param|tmp)_\w+)")

# What a task may say beside the module that it calls.
KEYWORDS = {
    *("name", "when", "vars", "tags", "register", "loop", "loop_control", "until", "retries"),
    *("delay", "notify", "become", "become_user", "check_mode", "diff", "no_log", "changed_when"),
    *("failed_when", "delegate_to", "delegate_facts", "run_once", "environment", "throttle"),
    *("block", "rescue", "always", "ignore_unreachable", "args", "timeout", "module_defaults"),
    *("any_errors_fatal", "listen"),
}

every_role = pytest.mark.parametrize("role", ROLES)
every_service = pytest.mark.parametrize("role", SERVICES)


class Loader(yaml.SafeLoader):
    """YAML with Ansible's own tags."""


def _scalar(loader: Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


for tag in ("!unsafe", "!vault"):
    Loader.add_constructor(tag, _scalar)


@cache
def load(path: Path) -> Any:
    # S506: a SafeLoader with two more strings
    return yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506


def mapping(path: Path) -> dict[str, Any]:
    """A file of variables; empty where the role has none."""
    return (load(path) or {}) if path.exists() else {}


def defaults(role: str) -> dict[str, Any]:
    return mapping(ROOT / "roles" / role / "defaults/main.yml")


@cache
def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of all entry points of a role."""
    specs = mapping(ROOT / "roles" / role / "meta/argument_specs.yml").get("argument_specs", {})
    return {name: option for spec in specs.values() for name, option in spec["options"].items()}


def task_files(*folders: Path) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*.yml")
        if path.parent.name in ("tasks", "handlers") or "playbooks" in path.parts
    )


def nested(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All tasks of a list, of blocks and of plays."""
    for task in tasks:
        yield task
        for key in ("block", "rescue", "always", "pre_tasks", "tasks", "post_tasks", "handlers"):
            if isinstance(task.get(key), list):
                yield from nested(task[key])


def with_imports(path: Path) -> Iterator[dict[str, Any]]:
    """All tasks of a file, those of the files that it imports in the place of the import."""
    for task in nested(load(path)):
        imported = task.get("ansible.builtin.import_tasks")
        if imported:
            yield from with_imports(path.with_name(imported))
        else:
            yield task


def all_tasks() -> list[tuple[str, dict[str, Any]]]:
    return [
        (str(path.relative_to(ROOT)), task)
        for path in task_files(ROOT / "roles", ROOT / "playbooks")
        for task in nested(load(path) or [])
    ]


def test_there_are_roles_and_tasks() -> None:
    assert {"base", "prometheus", "node_exporter"} <= set(SERVICES)
    assert len(all_tasks()) > 50


# --- variables ---


@every_role
def test_defaults_are_described_and_described_options_have_defaults(role: str) -> None:
    needed = {name for name, option in options(role).items() if option.get("required")}
    assert set(options(role)) - needed - set(defaults(role)) == set(), "described, and no default"
    assert set(defaults(role)) - set(options(role)) == set(), "in defaults, and not described"


@every_role
def test_described_defaults_are_the_defaults(role: str) -> None:
    for name, option in options(role).items():
        assert not (option.get("required") and name in defaults(role)), f"{name} is never missing"
        if "default" in option:
            assert option["default"] == defaults(role)[name], name


@every_role
def test_readme_names_every_variable_and_no_other(role: str) -> None:
    readme = ROOT / "roles" / role / "README.md"
    if not readme.exists():
        pytest.skip("has no README.md")
    text = readme.read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    named = set(re.findall(rf"`({role}_[a-z0-9_]+)`", text))
    named |= set(re.findall(rf"\b{role}_[a-z0-9_]+\b", headings))
    settable = set(defaults(role)) | set(options(role))
    constants = set(mapping(ROOT / "roles" / role / "vars/main.yml"))
    jobs = {file.stem for file in ROOT.glob("roles/*/files/scrape/*.yml")}
    assert settable - named == set(), "not in README.md"
    assert named - settable - constants - jobs - set(ROLES) == set(), "only in README.md"


@every_role
def test_variables_carry_the_name_of_the_role(role: str) -> None:
    folder = ROOT / "roles" / role
    assert {name for name in defaults(role) if not name.startswith(f"{role}_")} == set()
    own = (f"{role}_", f"__{role}_")
    for file in sorted((folder / "vars").glob("*.yml")):
        assert {name for name in mapping(file) if not name.startswith(own)} == set(), file.name
    for path in task_files(folder):
        for task in nested(load(path) or []):
            made = [task["register"]] if "register" in task else []
            made += [key for key in task.get("ansible.builtin.set_fact", {}) if key != "cacheable"]
            loop_var = task.get("loop_control", {}).get("loop_var")
            made += [loop_var] if loop_var else []
            assert all(name.startswith(own) for name in made), f"{path.name}: {task['name']}"


@every_role
def test_private_variables_of_other_roles_are_not_used(role: str) -> None:
    for path in sorted((ROOT / "roles" / role).rglob("*")):
        if path.is_file() and path.suffix in (".yml", ".j2"):
            text = path.read_text(encoding="utf-8")
            others = {
                name
                for name in re.findall(r"\b__[a-z]\w+", text)
                if not name.startswith(f"__{role}_") and not OF_PROMETHEUS.fullmatch(name)
            }
            assert others == set(), path.relative_to(ROOT)


def test_a_port_has_one_home() -> None:
    home = {
        str(value): role
        for role in ROLES
        for name, value in defaults(role).items()
        if name.endswith("_port") and isinstance(value, int) and value
    }
    assert len(home) > 2
    port = re.compile(rf"(?<![\w.])({'|'.join(home)})(?![\w.])")
    strayed = [
        f"{path.relative_to(ROOT)}:{number}: {found[1]} is {home[found[1]]}'s"
        for role in ROLES
        for path in sorted((ROOT / "roles" / role).rglob("*"))
        if path.is_file() and "tests" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if not line.lstrip().startswith("#")
        for found in port.finditer(line)
        if home[found[1]] != role
    ]
    assert strayed == []


# --- the shape of a service's role ---


@every_service
def test_main_reads_like_a_table_of_contents(role: str) -> None:
    tasks = ROOT / "roles" / role / "tasks"
    phases, own = [], OWN_PHASES.get(role, set())
    for task in nested(load(tasks / "main.yml")):
        calls = set(task) - KEYWORDS
        if "block" in task:
            assert calls == set(), task["name"]
            continue
        # Included is what repeats phases in another order on some hosts.
        how = calls.pop().removeprefix("ansible.builtin.")
        assert how == "import_tasks" or Path(task["ansible.builtin.include_tasks"]).stem in own
        assert calls == set(), task["name"]
        file = task[f"ansible.builtin.{how}"]
        assert (tasks / file).exists(), file
        assert task["name"] == Path(file).stem.capitalize()
        phases.append(Path(file).stem)
    assert set(phases) <= PHASES | own
    assert len(phases) == len(set(phases))
    written = {path.stem for path in tasks.glob("*.yml")} & PHASES
    assert written <= set(phases), "a phase that nobody imports"
    in_order = [phase for phase in ("preflight", "install", "configure", "run") if phase in phases]
    assert [phase for phase in phases if phase in in_order] == in_order


def test_own_phases_are_still_there() -> None:
    for role, phases in OWN_PHASES.items():
        for phase in phases:
            assert (ROOT / f"roles/{role}/tasks/{phase}.yml").exists(), f"{role}: {phase}"


@every_service
@pytest.mark.parametrize(
    "file", ["tasks/remove.yml", "tasks/verify.yml", "meta/argument_specs.yml"]
)
def test_service_has_its_counterparts(role: str, file: str) -> None:
    """Every "add" has its "remove", and the site can be asked about it."""
    assert (ROOT / "roles" / role / file).exists()


@every_service
def test_service_is_removed_and_verified_by_the_playbooks(role: str) -> None:
    for playbook in ("remove_host", "verify", "site"):
        text = (ROOT / f"playbooks/{playbook}.yml").read_text(encoding="utf-8")
        assert re.search(rf"\b{role}\b", text), f"playbooks/{playbook}.yml does not name it"


# --- who may do what ---

AUDITED = [role for role in ROLES if (ROOT / "roles" / role / "tasks/audit.yml").exists()]
# What an audit may use: it reads.
READING = {"command", "slurp", "stat", "find", "uri", "accounts", "set_fact", "include_vars"}


def test_the_audit_asks_every_role_that_has_one() -> None:
    plays = load(ROOT / "playbooks/audit.yml")
    parts = [part["role"] for part in plays[0]["vars"]["audit_parts"]]
    assert sorted(parts) == AUDITED
    assert {"base", "nginx", "postgresql"} <= set(AUDITED)


@pytest.mark.parametrize("role", AUDITED)
def test_an_audit_reads_and_says_what_it_found(role: str) -> None:
    """In check mode too, and without a change to report."""
    said: set[str] = set()
    for task in with_imports(ROOT / "roles" / role / "tasks/audit.yml"):
        if "block" in task:
            continue
        (how,) = set(task) - KEYWORDS
        module = how.removeprefix("ansible.builtin.")
        assert module in READING, task["name"]
        if module == "command":
            assert task.get("changed_when") is False, task["name"]
        if module in ("command", "uri"):
            assert task.get("check_mode") is False, task["name"]
        if module == "set_fact":
            said |= set(task[how])
    assert said == {f"{role}_audited"}


@every_service
def test_service_has_a_scenario_with_tests(role: str) -> None:
    scenario = ROOT / "molecule" / role
    assert (scenario / "molecule.yml").exists()
    plays = load(scenario / "converge.yml")
    if "ansible.builtin.import_playbook" in plays[0]:  # the whole site is
        plays = load(ROOT / "playbooks/site.yml")
    assert role in [entry["role"] for play in plays for entry in play.get("roles", [])]
    tests = [file.read_text(encoding="utf-8") for file in scenario.glob("tests/test_*.py")]
    assert any(re.search(r"^def test_", text, re.MULTILINE) for text in tests), "no test"


# --- tasks ---


def test_names_say_the_outcome() -> None:
    wrong = [
        f"{where}: {task.get('name')}"
        for where, task in all_tasks()
        if not re.match(r"[A-Z]", str(task.get("name", "")))
    ]
    assert wrong == []


def test_no_task_hides_its_failure() -> None:
    """What may fail is a question whose answer somebody reads."""
    wrong = [
        f"{where}: {task['name']}"
        for where, task in all_tasks()
        if "ignore_errors" in task
        or (
            task.get("failed_when") is False
            and not (task.get("changed_when") is False and "register" in task)
        )
    ]
    assert wrong == []


def test_secrets_stay_hidden_for_everybody() -> None:
    """Keyed on a variable, somebody turns it on and the log keeps it."""
    wrong = [
        f"{where}: {task['name']}"
        for where, task in all_tasks()
        if "no_log" in task and task["no_log"] is not True
    ]
    wrong += [
        f"{where}: {task['name']}: a diff shows it"
        for where, task in all_tasks()
        if task.get("no_log") is True and "config_tree" in task and task.get("diff") is not False
    ]
    assert wrong == []


def test_nothing_is_true_anyway() -> None:
    """`… || true` and `ignore_errors` behind a check are no check, in a script as in a task."""
    swallowed = re.compile(r"\|\|\s*(?:true|:)(?:\s|$|;|\))|\bignore_errors\s*:")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for top in ("roles", "playbooks", "molecule", "Makefile", ".ci")
        for path in ([ROOT / top] if (ROOT / top).is_file() else sorted((ROOT / top).rglob("*")))
        if path.is_file() and path.suffix != ".pyc"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if swallowed.search(line)
    ]
    assert wrong == []
