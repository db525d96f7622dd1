"""Mitogen makes runs faster where it is installed, and nothing depends on it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
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
    assert _load().StrategyModule is Linear


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
