"""Mitogen makes runs faster where it is installed, and nothing depends on it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ansible.plugins import loader
from ansible.plugins.strategy.linear import StrategyModule as Linear

PLUGIN = Path(__file__).parents[2] / "plugins/strategy/lookout.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lookout_strategy", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_mitogen_it_is_plain_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ansible_mitogen"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ansible_mitogen", None)
    made = _load().StrategyModule
    assert issubclass(made, Linear)
    assert {base.__module__ for base in made.__mro__} <= {"lookout_strategy"} | _modules_of(Linear)


def _modules_of(cls: type) -> set[str]:
    return {base.__module__ for base in cls.__mro__}


def test_a_worker_finds_the_filters_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded when linear starts to fork: the filters of the repository, and Ansible's."""
    found: list[str] = []

    def run(*_: object) -> int:
        found.extend(loader.filter_loader._cached_non_collection_wrappers)
        return 0

    monkeypatch.setattr(Linear, "run", run)
    monkeypatch.setattr(loader.filter_loader, "_cached_non_collection_wrappers", {})
    loader.filter_loader.add_directory(str(PLUGIN.parents[1] / "filter"))
    made = object.__new__(_load().Prepared)
    assert made.run(None, None) == 0
    assert {"redact", "combine"} <= set(found)


def test_mitogen_compiles_a_file_once() -> None:
    finder = pytest.importorskip("ansible_mitogen.module_finder")
    _load()
    assert finder.compile(b"1", "name", "exec") is finder.compile(b"1", "name", "exec")


def test_with_mitogen_it_is_both() -> None:
    strategy = pytest.importorskip("ansible_mitogen.strategy")
    made = _load().StrategyModule
    assert issubclass(made, strategy.StrategyMixin)
    assert issubclass(made, Linear)
    # Mitogen wraps what linear does: it has to come first.
    order = made.__mro__
    assert order.index(strategy.StrategyMixin) < order.index(Linear)


def test_mitogen_pins_no_process_to_a_processor() -> None:
    affinity = pytest.importorskip("ansible_mitogen.affinity")
    _load()
    before = os.sched_getaffinity(0)
    try:
        affinity.policy.assign_controller()
        affinity.policy.assign_worker()
        assert os.sched_getaffinity(0) == before
    finally:
        os.sched_setaffinity(0, before)
