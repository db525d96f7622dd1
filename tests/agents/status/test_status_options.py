"""What is wrong with a configuration is said with its path, whatever stands in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lookout.kit import config
from lookout.status import kinds
from lookout.status.options import StatusOptions, TaskOptions
from lookout.status.registry import KINDS, Context, Failed, Outcome, task

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["kind", "title", "every_minutes", "timeout_seconds", "options", "slow_seconds"]
)


def problems(tasks: Any) -> list[str]:
    try:
        config.parse(StatusOptions, yaml.safe_dump({"tasks": tasks}), "status.yml")
    except config.ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("Web", {"kind": "heartbeat"}, "tasks.Web a name has small letters"),
        ("web", {"kind": "website_access"}, "tasks.web.options.url is missing"),
        ("web", {"kind": "website_access", "options": {"url": "shop"}}, "options.url must match"),
        ("web", {"kind": "heartbeat", "every_minutes": 7}, "every_minutes must divide an hour"),
        ("web", {"kind": "heartbeat", "slow_seconds": 61}, "slow_seconds must be at most"),
        (
            "web",
            {"kind": "bookmarklet_status", "options": {"url": "https://x/b.js"}},
            "sha256 set this",
        ),
        ("web", {"kind": "Heartbeat"}, "tasks.web.kind must be a name of a kind"),
        ("web", {"kind": "heartbeat", "options": {"max_age": 1}}, "did you mean max_age_minutes"),
        ("web", {"kind": "heartbeat", "timeout_seconds": 0}, "timeout_seconds must be at least 1"),
    ],
)
def test_a_mistake_is_said_with_its_path(name: str, entry: dict[str, Any], said: str) -> None:
    (found,) = problems({name: entry})
    assert found.startswith("status.yml: tasks.")
    assert said in found


def test_all_mistakes_are_said_at_once() -> None:
    found = problems({"a": {"kind": "website_access"}, "b": {"kind": "website_login"}})
    assert len(found) == 5  # url; login_url, user, password_credential, expect_text


@given(
    st.dictionaries(st.text(max_size=6), st.dictionaries(KEYS, ANYTHING, max_size=4), max_size=3)
)
def test_whatever_is_configured_is_taken_or_refused_in_words(tasks: dict[str, Any]) -> None:
    assert all(problem.startswith("status.yml: ") for problem in problems(tasks))


def class_file(tmp_path: Path, name: str, text: str, mode: int = 0o644) -> Path:
    folder = tmp_path / "classes"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return folder


GOOD = """
from dataclasses import dataclass
from lookout.status.registry import Outcome, task

@task("{name}")
@dataclass(frozen=True)
class Own:
    most: int = 1

    def run(self, context):
        return Outcome(True, f"{{self.most}} of {{context.name}}")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="a class has to belong to root")
def test_a_class_of_the_site_is_a_file_in_a_folder(tmp_path: Path) -> None:
    folder = class_file(tmp_path, "own_good", GOOD.format(name="own_good"))
    made = kinds.build(TaskOptions("own_good", options={"most": 3}), folder)
    assert made.run(Context("x", tmp_path, 1)) == Outcome(True, "3 of x")
    with pytest.raises(config.ConfigError, match="did you mean most"):
        kinds.build(TaskOptions("own_good", options={"mots": 3}), folder)


@pytest.mark.parametrize(
    ("name", "text", "mode", "said"),
    [
        ("own_writable", GOOD, 0o666, "can be written by others"),
        ("own_syntax", "def", 0o644, "cannot be loaded: SyntaxError"),
        ("own_other", GOOD, 0o644, "has no class with @task"),
        ("own_raises", "1 / 0", 0o644, "ZeroDivisionError"),
    ],
)
def test_a_class_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, text: str, mode: int, said: str
) -> None:
    wrong = "another_name" if name == "own_other" else name
    folder = class_file(tmp_path, name, text.format(name=wrong) if "{" in text else text, mode)
    owner = os.getuid()
    if owner != 0:
        pytest.skip("a class has to belong to root")
    with pytest.raises(Failed, match=said):
        kinds.kind(name, folder)
    KINDS.pop("another_name", None)


def test_a_class_behind_a_link_is_not_run(tmp_path: Path) -> None:
    folder = class_file(tmp_path, "own_target", GOOD.format(name="own_target"))
    (folder / "own_link.py").symlink_to(folder / "own_target.py")
    assert "is a link" in kinds.untrusted(folder / "own_link.py", os.getuid())
    assert kinds.untrusted(folder / "own_target.py", os.getuid()) == ""
    assert "does not belong to root" in kinds.untrusted(folder / "own_target.py", os.getuid() + 1)


def test_two_classes_cannot_have_one_name() -> None:
    kinds.kind("heartbeat", Path("/nowhere"))
    with pytest.raises(ValueError, match="there is a kind heartbeat already"):
        task("heartbeat")(KINDS["heartbeat"])
    with pytest.raises(TypeError, match="has to be a dataclass"):
        task("other")(object)
