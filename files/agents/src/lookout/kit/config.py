"""Configuration from one YAML file into frozen dataclasses, with every mistake named at once.

A field's type says what is taken: `str`, `int`, `float`, `bool`, `Path`, `Literal[...]`,
`tuple[T, ...]` from a list, `dict[str, T]` from a mapping, a dataclass from a mapping, and
`T | None`. A field without a default is required. Limits stand in `option()`. What no single field
shows, a dataclass says in a method `problems(self) -> Iterator[str]`, as "key: what is wrong".
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

# Of a wrong value, so that a problem stays one line
SHOWN_LENGTH = 60


class ConfigError(Exception):
    """What is wrong with a configuration. `problems` has a line each: "file: path: what"."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _WrongError(Exception):
    """A value that is not taken, or several of them. `found` has (path, what) each."""

    def __init__(self, *found: tuple[str, str]) -> None:
        super().__init__(found)
        self.found = found


def option(
    default: Any = MISSING,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    pattern: str | None = None,
    must: str = "",
) -> Any:
    """A field of a configuration, required if it has no default.

    `at_least`, `above` and `at_most` limit a number, or the length of text, list and mapping. Text
    must match the whole of `pattern`; `must` says in words what that means. Of a list, `pattern`
    and the limits of numbers hold for the list itself alone: give its elements a dataclass.
    """
    limits = {
        "at_least": at_least,
        "above": above,
        "at_most": at_most,
        "pattern": pattern,
        "must": must,
    }
    if isinstance(default, (list, dict, set)):
        raise TypeError("a default that can change is shared by all: use a tuple or `mapping()`")
    return dataclasses.field(default=default, metadata=limits)


def mapping() -> Any:
    """A field that is an empty mapping by default."""
    return dataclasses.field(default_factory=dict)


def load(cls: type[T], path: Path) -> T:
    """The configuration in a file; ConfigError names all that is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text: byte {error.start}"]) from error
    return parse(cls, text, path.name)


def parse(cls: type[T], text: str, name: str) -> T:
    """The configuration in a text; `name` stands before each problem."""
    try:
        # A subclass of the safe loader
        data = yaml.load(text, _Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        what = getattr(error, "problem", None) or "is no YAML"
        raise ConfigError([f"{name}:{where} {what}"]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{name}: is no YAML that can be read: {error}"]) from error
    return build(cls, {} if data is None else data, name)


def build(cls: type[T], data: Any, name: str) -> T:
    """The configuration in data that was read already, such as JSON's."""
    try:
        return typing.cast(T, _build(cls, data, ""))
    except _WrongError as error:
        raise ConfigError(
            [f"{name}: {at or 'the file'} {what}" for at, what in error.found]
        ) from None


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is a mistake, not the second of the two."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f'the key "{key.value}" stands twice', key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def _build(wanted: Any, value: Any, at: str) -> Any:
    """`value` as `wanted`; _WrongError with all that is wrong below the path `at`."""
    origin, of = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        (rest,) = [one for one in of if one is not type(None)]
        built = None if value is None else _build(rest, value, at)
    elif origin is typing.Literal:
        built = _choice(of, value, at)
    elif origin is tuple:
        built = _list(value, at, of[0])
    elif origin is dict:
        built = _mapping(value, at, of[1])
    elif dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        built = _dataclass(wanted, value, at)
    else:
        built = _scalar(wanted, value, at)
    return built


def _choice(of: tuple[Any, ...], value: Any, at: str) -> Any:
    if any(value == one and type(value) is type(one) for one in of):
        return value
    raise _WrongError((at, f"must be one of {', '.join(map(str, of))}, got {_shown(value)}"))


def _scalar(wanted: Any, value: Any, at: str) -> Any:
    if wanted is Any:
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if wanted is float and isinstance(value, float) and not math.isfinite(value):
        raise _WrongError((at, f"must be a finite number, got {value}"))
    if wanted is Path and isinstance(value, str):
        if value.startswith("/") and "\0" not in value:
            return Path(value)
        raise _WrongError((at, f"must be an absolute path, got {_shown(value)}"))
    # A bool is an int to Python, and to nobody else.
    if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return value
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    expected = names.get(wanted, "an absolute path")
    hint = " (put it into quotes)" if wanted is str and value is not None else ""
    raise _WrongError((at, f"must be {expected}, got {_shown(value)}{hint}"))


def _list(value: Any, at: str, of: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _WrongError((at, f"must be a list, got {_shown(value)}"))
    built: list[Any] = []
    found: list[tuple[str, str]] = []
    for index, element in enumerate(value):
        try:
            built.append(_build(of, element, f"{at}[{index}]"))
        except _WrongError as error:
            found += error.found
    if found:
        raise _WrongError(*found)
    return tuple(built)


def _mapping(value: Any, at: str, of: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError((at, f"must be a mapping, got {_shown(value)}"))
    built: dict[str, Any] = {}
    found: list[tuple[str, str]] = []
    for key, element in value.items():
        below = f"{at}.{key}" if at else str(key)
        if not isinstance(key, str):
            found.append((at, f"has a key that must be text (put it into quotes): {_shown(key)}"))
            continue
        try:
            built[key] = _build(of, element, below)
        except _WrongError as error:
            found += error.found
    if found:
        raise _WrongError(*found)
    return built


def _dataclass(cls: type, value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise _WrongError((at, f"must be a mapping, got {_shown(value)}"))
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    prefix = f"{at}." if at else ""
    found = [(f"{prefix}{key}", _unknown(key, fields)) for key in value if key not in fields]
    found += [
        (f"{prefix}{name}", "is missing")
        for name, field in fields.items()
        if name not in value and field.default is MISSING and field.default_factory is MISSING
    ]
    built = {}
    for name in (key for key in value if key in fields):
        try:
            built[name] = _build(hints[name], value[name], prefix + name)
            _limits(built[name], fields[name].metadata, prefix + name)
        except _WrongError as error:
            found += error.found
    if found:
        raise _WrongError(*found)
    made = cls(**built)
    own: Callable[[], Iterator[str]] | None = getattr(made, "problems", None)
    if own:
        said = [problem.partition(": ") for problem in own()]
        if said:
            raise _WrongError(*((prefix + key, what) for key, _, what in said))
    return made


def _unknown(key: object, fields: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(key), fields, 1)
    return "is not known here: " + (
        f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(fields))}"
    )


def _limits(value: Any, limits: Mapping[str, Any], at: str) -> None:
    size, words = value, "be"
    if isinstance(value, (str, tuple, dict)):
        size, words = len(value), "be of length" if isinstance(value, str) else "have"
    checks = {
        "at_least": ("at least", operator.ge),
        "above": ("more than", operator.gt),
        "at_most": ("at most", operator.le),
    }
    for name, (comparison, holds) in checks.items():
        limit = limits.get(name)
        if limit is not None and value is not None and not holds(size, limit):
            raise _WrongError((at, f"must {words} {comparison} {limit}, got {_shown(value)}"))
    pattern = limits.get("pattern")
    if pattern and isinstance(value, str) and not re.fullmatch(pattern, value):
        wanted = limits.get("must") or f"match {pattern}"
        raise _WrongError((at, f"must {wanted}, got {_shown(value)}"))
