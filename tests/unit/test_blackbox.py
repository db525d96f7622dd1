"""Targets that cannot be probed are refused with their fix; the others become scrape targets."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    path = ROOT / "plugins/filter/blackbox.py"
    spec = importlib.util.spec_from_file_location("blackbox", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


blackbox = _load()

MODULES: dict[str, dict[str, Any]] = {
    "http_2xx": {"prober": "http"},
    "tcp_connect": {"prober": "tcp"},
    "tcp_tls": {"prober": "tcp"},
    "icmp": {"prober": "icmp"},
    "names": {"prober": "dns"},
}


def problems(
    *targets: dict[str, str], timeout: Any = 8, modules: dict[str, Any] | None = None
) -> list[str]:
    found: list[str] = blackbox.blackbox_problems(targets, modules or MODULES, timeout)
    return found


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("http_2xx", "https://shop.example.com/healthz?full=1"),
        ("http_2xx", "http://[2001:db8::1]:8080"),
        ("tcp_connect", "mq.example.com:5672"),
        ("tcp_tls", "[2001:db8::1]:636"),
        ("icmp", "192.0.2.1"),
        ("icmp", "2001:db8::1"),
        ("icmp", "router"),
        ("names", "192.0.2.53"),
    ],
)
def test_what_can_be_probed_is_taken(module: str, target: str) -> None:
    assert problems({"name": "x", "target": target, "module": module}) == []


@pytest.mark.parametrize(
    ("module", "target", "fix"),
    [
        ("http_2xx", "shop.example.com", "as in https://shop.example.com"),
        ("http_2xx", "ftp://shop.example.com", "as in https://shop.example.com"),
        ("http_2xx", "https://", "needs a URL"),
        ("tcp_connect", "mq.example.com", "as in mq.example.com:443"),
        ("tcp_connect", "https://mq.example.com:443/", "as in mq.example.com:443"),
        ("tcp_connect", "2001:db8::1", "needs host and port"),
        ("tcp_connect", "mq.example.com:0", "must be from 1 to 65535"),
        ("tcp_connect", "mq.example.com:65536", "must be from 1 to 65535"),
        ("icmp", "192.0.2.1:80", "needs a host name or an address"),
        ("icmp", "http://192.0.2.1", "needs a host name or an address"),
    ],
)
def test_an_address_that_does_not_fit_its_module_is_refused(
    module: str, target: str, fix: str
) -> None:
    (problem,) = problems({"name": "shop", "target": target, "module": module})
    assert problem.startswith("blackbox_exporter_targets: shop: ")
    assert fix in problem
    assert problem.endswith(f"got {target}")


def test_two_targets_of_one_name_are_refused() -> None:
    (problem,) = problems(
        {"name": "shop", "target": "https://a.example.com"},
        {"name": "shop", "target": "https://b.example.com"},
    )
    assert "2 targets are named shop" in problem
    assert "a name of its own" in problem


def test_an_unknown_module_is_refused_with_the_nearest() -> None:
    (problem,) = problems({"name": "shop", "target": "a:1", "module": "tcp_conect"})
    assert "unknown module tcp_conect: did you mean tcp_connect?" in problem


def test_all_mistakes_are_named_at_once() -> None:
    found = problems(
        {"name": "", "target": "https://a.example.com"},
        {"name": "b", "target": "b", "module": "tcp_connect"},
        {"name": "c", "target": "c"},
        timeout=10,
    )
    assert len(found) == 4


@pytest.mark.parametrize("seconds", [0, -1, 9.5, 60, "8", True, None, float("nan"), float("inf")])
def test_a_timeout_that_prometheus_does_not_wait_for_is_refused(seconds: object) -> None:
    (problem,) = problems(timeout=seconds)
    assert problem.startswith("blackbox_exporter_timeout_seconds must be more than 0 and at most 9")


@pytest.mark.parametrize("timeout", ["10s", "1m", "fast", "", "-1s", 5, "0s"])
def test_a_bad_timeout_of_a_module_is_refused(timeout: object) -> None:
    (problem,) = problems(modules={"own": {"prober": "http", "timeout": timeout}})
    assert problem.startswith("blackbox_exporter_modules: own: timeout must be")


@pytest.mark.parametrize("module", [{}, {"prober": "ftp"}, {"prober": None}])
def test_a_module_without_a_prober_is_refused(module: dict[str, Any]) -> None:
    (problem,) = problems(modules={"own": module})
    assert "prober must be one of http, tcp, icmp" in problem


def test_a_module_that_is_no_mapping_is_refused() -> None:
    (problem,) = problems(modules={"own": "http"})
    assert "must be a mapping with a prober" in problem


def test_modules_get_the_timeout_unless_they_have_one() -> None:
    modules = blackbox.blackbox_modules(
        {"a": {"prober": "http"}, "b": {"prober": "tcp", "timeout": "1s"}}, 2.5
    )
    assert {name: module["timeout"] for name, module in modules.items()} == {"a": "2.5s", "b": "1s"}


def test_only_a_ping_needs_a_raw_socket() -> None:
    needs = blackbox.blackbox_needs_raw_socket
    page = {"name": "page", "target": "https://a.example.com"}
    ping = {"name": "ping", "target": "192.0.2.1", "module": "icmp"}
    assert not needs([], MODULES)
    assert not needs([page], MODULES)
    assert needs([page, ping], MODULES)


def test_a_target_becomes_labels_that_prometheus_asks_with() -> None:
    (group,) = blackbox.blackbox_scrape_targets(
        [{"name": "shop", "target": "https://a.example.com/?q=1"}], "127.0.0.1:9115", "mon1"
    )
    assert group == {
        "targets": ["127.0.0.1:9115"],
        "labels": {
            "instance": "shop",
            "module": "http_2xx",
            "target": "https://a.example.com/?q=1",
            "prober": "mon1",
            "__metrics_path__": "/probe",
            "__param_module": "http_2xx",
            "__param_target": "https://a.example.com/?q=1",
        },
    }


@given(st.text(), st.text(), st.sampled_from([*MODULES, "", "nothing"]))
def test_no_text_breaks_the_check(name: str, target: str, module: str) -> None:
    for problem in problems({"name": name, "target": target, "module": module}):
        assert problem.startswith("blackbox_exporter_targets: ")


@given(st.lists(st.text(min_size=1), unique=True))
def test_every_target_is_scraped_under_its_name(names: list[str]) -> None:
    targets = [{"name": name, "target": "https://a.example.com"} for name in names]
    groups = blackbox.blackbox_scrape_targets(targets, "127.0.0.1:9115", "mon1")
    assert [group["labels"]["instance"] for group in groups] == names
