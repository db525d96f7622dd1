"""Configuration: what is taken, and how all that is wrong is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lookout.kit.config import ConfigError, load, mapping, option, parse


@dataclass(frozen=True)
class Rule:
    name: str = option(at_least=1, pattern="[a-z-]+", must="be of a-z and -")
    memory_megabytes: int = option(1200, above=0, at_most=10_000)
    ratio: float | None = None


@dataclass(frozen=True)
class Config:
    rules: tuple[Rule, ...] = option(at_least=1)
    level: Literal["low", "high"] = "low"
    folder: Path | None = None
    labels: dict[str, int] = mapping()  # noqa: RUF009
    enabled: bool = True
    made: str = field(init=False, default="by itself")

    def problems(self) -> Iterator[str]:
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            yield "rules: two have one name"


def wrong(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(Config, text, "c.yml")
    return caught.value.problems


def test_what_is_right_becomes_a_frozen_dataclass() -> None:
    text = "rules: [{name: fox, ratio: 1}, {name: owl}]\nfolder: /var/x\nlabels: {a: 1}\n"
    assert parse(Config, text, "c.yml") == Config(
        rules=(Rule("fox", ratio=1.0), Rule("owl")), folder=Path("/var/x"), labels={"a": 1}
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "c.yml: rules is missing"),
        ("- 1", "c.yml: the file must be a mapping, got [1]"),
        ("rules: []", "c.yml: rules must have at least 1, got ()"),
        ("rules: fox", "c.yml: rules must be a list, got 'fox'"),
        ("rules: [{}]", "c.yml: rules[0].name is missing"),
        ("rules: [{name: ''}]", "c.yml: rules[0].name must be of length at least 1, got ''"),
        ("rules: [{name: Fox}]", "c.yml: rules[0].name must be of a-z and -, got 'Fox'"),
        ("rules: [{name: 1}]", "c.yml: rules[0].name must be text, got 1 (put it into quotes)"),
        (
            "rules: [{name: a, memory_megabytes: 0}]",
            "c.yml: rules[0].memory_megabytes must be more than 0, got 0",
        ),
        (
            "rules: [{name: a, memory_megabytes: true}]",
            "c.yml: rules[0].memory_megabytes must be a whole number, got True",
        ),
        (
            "rules: [{name: a, memory_megabytes: 1.5}]",
            "c.yml: rules[0].memory_megabytes must be a whole number, got 1.5",
        ),
        (
            "rules: [{name: a, ratio: .nan}]",
            "c.yml: rules[0].ratio must be a finite number, got nan",
        ),
        (
            f"rules: [{{name: a, ratio: {'9' * 400}}}]",
            "c.yml: rules[0].ratio must be a finite number, got inf",
        ),
        (
            "rules: [{name: a, memory_mb: 5}]",
            "c.yml: rules[0].memory_mb is not known here: did you mean memory_megabytes?",
        ),
        (
            "rules: [{name: a}]\nzzz: 1",
            "c.yml: zzz is not known here: known are enabled, folder, labels, level, rules",
        ),
        ("rules: [{name: a}]\nmade: x", "c.yml: made is not known here: "),
        ("rules: [{name: a}]\nlevel: mid", "c.yml: level must be one of low, high, got 'mid'"),
        ("rules: [{name: a}]\nfolder: x/y", "c.yml: folder must be an absolute path, got 'x/y'"),
        ("rules: [{name: a}]\nlabels: {1: 1}", "c.yml: labels has a key that must be text"),
        ("rules: [{name: a}]\nlabels: {a: b}", "c.yml: labels.a must be a whole number, got 'b'"),
        ("rules: [{name: a}]\nenabled: 1", "c.yml: enabled must be true or false, got 1"),
        ("rules: [{name: a}, {name: a}]", "c.yml: rules two have one name"),
        ("rules: [{name: a, name: b}]", 'c.yml: line 1, column 19: the key "name" stands twice'),
        ("rules: [", "c.yml: line 1, column 9:"),
        ("rules: !!python/object:os.system []", "c.yml: line 1, column 8: could not determine"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, problem: str) -> None:
    found = wrong(text)
    assert any(line.startswith(problem) for line in found), found


def test_all_mistakes_are_named_at_once() -> None:
    found = wrong("rules: [{name: A}, {ratio: x}]\nlevel: mid\nfolder: 1\nnone: 1\n")
    assert len(found) == 6


def test_a_long_value_is_cut() -> None:
    (line,) = wrong(f"rules: [{{name: {'A' * 500}}}]")
    assert len(line) < 150


def test_a_file_that_cannot_be_read_is_a_problem_like_others(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "none.yml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=what):
            load(Config, path)
    (tmp_path / "latin.yml").write_bytes(b"rules: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text: byte 7"):
        load(Config, tmp_path / "latin.yml")


def test_a_default_that_can_change_is_refused() -> None:
    with pytest.raises(TypeError):
        option([])


def outcome(text: str) -> list[str]:
    """What is wrong with a text; empty where it is taken. Anything but that fails the test."""
    try:
        assert isinstance(parse(Config, text, "c.yml"), Config)
    except ConfigError as error:
        return error.problems or ["refused without a word"]
    return []


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)
shaped = st.fixed_dictionaries(
    {},
    optional={
        "rules": plain | st.lists(st.fixed_dictionaries({"name": st.text()}) | plain),
        "level": plain,
        "folder": plain,
        "labels": plain,
    },
)


@given(plain | shaped)
def test_any_yaml_is_taken_or_refused_with_words(data: Any) -> None:
    text = yaml.safe_dump(data)
    assert all(line.startswith("c.yml: ") for line in outcome(text))


@given(st.text())
def test_any_text_is_taken_or_refused_with_words(text: str) -> None:
    assert all(line.startswith("c.yml: ") for line in outcome(text))
