"""Mitogen makes runs faster where it is installed, and nothing depends on it."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import marshal
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible._internal._datatag._tags import Origin, TrustedAsTemplate
from ansible._internal._templating._engine import TemplateEngine, TemplateOptions
from ansible._internal._templating._jinja_bits import TemplateOverrides
from ansible.collections.list import list_collection_dirs as ansible_collections_list
from ansible.plugins import loader
from ansible.plugins.strategy.linear import StrategyModule as Linear

TRUST = TrustedAsTemplate()
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


def test_what_a_worker_compiled_is_known_to_the_next() -> None:
    plugin = _load()
    text, other = "{{ 40 + 2 }}", dataclasses.replace(TemplateOverrides.DEFAULT, trim_blocks=False)
    if (child := os.fork()) == 0:
        TemplateEngine().template(TRUST.tag(text))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert plugin.compiled.known == {}
    plugin.compiled.learn()
    assert [key[0] for key in plugin.compiled.known] == [text]
    with (Path("/proc/self/fd") / str(plugin.compiled.file)).open("rb") as file:
        written = len(file.read())
    assert plugin.compiled.read_bytes == written > 0
    # It is what is used, and only by what reads the same text the same way.
    assert TemplateEngine().template(TRUST.tag(text)) == 42
    assert len(plugin.compiled.known) == 1
    options = TemplateOptions(overrides=other)
    assert TemplateEngine().template(TRUST.tag(text), options=options) == 42
    assert len(plugin.compiled.known) == 2


def test_a_half_written_template_is_left_for_later() -> None:
    compiled = _load().compiled
    entry = marshal.dumps((("text",), compile("1", "text", "eval")))
    record = len(entry).to_bytes(4, "big") + entry
    os.write(compiled.file, record + record[:9])
    compiled.learn()
    assert compiled.read_bytes == len(record)
    os.write(compiled.file, record[9:])
    compiled.learn()
    assert compiled.read_bytes == 2 * len(record)


def test_a_string_that_says_where_it_is_from_is_its_own_copy() -> None:
    _load()
    tagged = Origin(description="here").tag("text")
    copied = copy.deepcopy({"list": [tagged]})
    assert copied["list"][0] is tagged


def test_lists_and_mappings_are_copied_and_what_says_where_they_stand_is_kept() -> None:
    _load()
    here = Origin(description="here")
    inside = here.tag([here.tag("text"), 1, None])
    read = here.tag({"list": inside, "again": inside})
    copied = copy.deepcopy(read)
    assert copied == read
    assert copied is not read
    assert type(copied) is type(read)
    assert Origin.get_tag(copied) is Origin.get_tag(copied["list"]) is here
    assert copied["list"] is copied["again"] is not inside
    copied["list"].append("more")
    assert len(inside) == 3
    inside.append(inside)
    copied = copy.deepcopy(read)
    assert copied["list"][3] is copied["list"]


def test_collections_are_found_where_ansible_finds_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin = _load()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    loader.init_plugin_loader()
    found = set(ansible_collections_list())
    assert found
    assert set(plugin.collection_dirs()) == found


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


@pytest.mark.parametrize("ends", [TypeError("cannot pickle it"), SystemExit("cannot pickle it")])
def test_a_result_that_cannot_be_told_is_a_failure_and_nothing_is_done_twice(
    ends: BaseException,
) -> None:
    plugin = _load()
    told: list[Any] = []
    done = 0

    class Queue:
        def send_task_result(self, result: Any) -> None:
            if result == "what cannot be told":
                raise ends
            told.append(result)

    class Worker(plugin.Worker):  # type: ignore[misc, name-defined]
        def __init__(self, action: str) -> None:
            self._final_q, self._host = Queue(), "host"
            self._task = SimpleNamespace(
                action=action, until=[], retries=None, async_val=0, timeout=0
            )

        def work_here(self) -> str:
            nonlocal done
            done += 1
            return "what cannot be told"

    plugin.Prepared.hosts = 1
    Worker("command").start()
    assert done == 1
    assert told[0]._return_data["failed"]
    assert "cannot pickle it" in told[0]._return_data["msg"]
