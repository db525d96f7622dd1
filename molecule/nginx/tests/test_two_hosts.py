"""Two gateways, and two hosts that serve the same routes. It stays so until the next converge."""

from __future__ import annotations

from collections import Counter

import pytest
from conftest import started
from gateway import Gateway
from hosts import connect, host_names, wait_for
from play import converge

ROUTES = [
    {"name": name, "path": f"/{name}/", "upstream": {"scheme": "https", "port": 8443}, **more}
    for name, more in {
        "twice": {"purpose": "One answers, one stands in", "sign_in": "none"},
        "spread": {"purpose": "Both answer", "sign_in": "none", "spread": True},
    }.items()
]


@pytest.fixture(scope="module")
def both() -> list[Gateway]:
    gateways = [started(connect(name)) for name in host_names()]
    done = converge("all", register_routed_by=host_names(), more_routes=ROUTES)
    assert done.returncode == 0, done.stdout
    return gateways


def who(gateway: Gateway, path: str, times: int = 1) -> Counter[str]:
    return Counter(gateway.ask(path).said["name"] for _ in range(times))


def test_one_host_answers_and_the_other_stands_in(both: list[Gateway]) -> None:
    by_name = {gateway.name: gateway for gateway in both}
    for gateway in both:
        assert who(gateway, "/twice/", 5) == {"bookworm": 5}
        assert set(who(gateway, "/spread/", 20)) == {"bookworm", "trixie"}
    by_name["bookworm"].host.check_output("systemctl stop test-servers")
    try:
        for gateway in both:
            assert who(gateway, "/twice/", 5) == {"trixie": 5}
            assert who(gateway, "/spread/", 5) == {"trixie": 5}
            posted = gateway.ask("/twice/", "--data", "x").said
            assert posted["name"] == "trixie"
    finally:
        started(by_name["bookworm"].host)
    for gateway in both:
        assert wait_for(lambda gateway=gateway: who(gateway, "/twice/") == {"bookworm": 1})


def test_the_same_route_with_other_settings_is_refused(both: list[Gateway]) -> None:
    other = [{**ROUTES[0], "purpose": "Something else"}]
    done = converge("bookworm", register_routed_by=["trixie", "bookworm"], more_routes=other)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    for part in ("/bookworm/twice.yml", "/trixie/twice.yml", "different purpose"):
        assert part in said
    assert who(both[0], "/twice/") == {"bookworm": 1}
    mended = converge("bookworm", register_routed_by=["trixie", "bookworm"], more_routes=ROUTES)
    assert mended.returncode == 0, mended.stdout


def test_plain_http_stays_on_the_gateway() -> None:
    plain = [{**ROUTES[0], "name": "plain", "upstream": {"scheme": "http", "port": 8080}}]
    done = converge("trixie", register_routed_by=["trixie", "bookworm"], more_routes=plain)
    assert done.returncode != 0
    assert "between hosts it has to be https" in " ".join(done.stdout.split())
