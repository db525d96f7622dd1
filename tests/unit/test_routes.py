"""Routes that do not hold together are refused with their files; the others are merged."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.filter.routes import (
    FilterModule,
    addresses_of,
    dns_names,
    refused_pattern,
    route_problems,
    routes_merged,
    routes_problems,
    routes_read,
    user_problems,
)

HOSTS = ["mon1", "mon2"]
ADDRESSES = {"127.0.0.1": "127.0.0.1", "mon1": "192.0.2.1", "mon2": "192.0.2.2", "": ""}


def route(**changes: Any) -> dict[str, Any]:
    """A sound route as it stands in a file; a value of None takes the key away."""
    made = {
        "name": "shop",
        "path": "/shop/",
        "upstream": {"scheme": "https", "port": 8443},
        "purpose": "The shop",
        "sign_in": "basic",
        "websocket": False,
        "keep_path": False,
        "spread": False,
        "refuse": [],
        "host": "mon1",
        "address": "mon1",
        "file": f"/routes/{changes.get('host', 'mon1')}/{changes.get('name', 'shop')}.yml",
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def problems(*routes: dict[str, Any], own_names: tuple[str, ...] = ("gw",)) -> list[str]:
    return routes_problems(routes, HOSTS, ADDRESSES, own_names)


# --- one route ---


def test_sound_routes_have_no_problem() -> None:
    assert route_problems(route()) == []
    assert route_problems(route(path=None, server_name="shop.example.com")) == []
    assert route_problems(route(refuse=["/-/", "/api/v1/admin/"], title="Shop", job="shop")) == []
    assert route_problems(route(upstream={"scheme": "http", "port": 1}, address="127.0.0.1")) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Shop"}, "name must be of a-z"),
        ({"name": "a;b"}, "name must be of a-z"),
        ({"name": None}, "name must be of a-z"),
        ({"name": "redirect"}, "belongs to the gateway itself"),
        ({"path": None}, "either path"),
        ({"server_name": "a.example"}, "either path"),
        ({"path": "shop"}, "path must begin and end with a slash"),
        ({"path": "/shop"}, "path must begin and end with a slash"),
        ({"path": "/sh op/"}, "path must begin and end with a slash"),
        ({"path": "/a/../b/"}, "path must begin and end with a slash"),
        ({"path": "/a;return 200/"}, "path must begin and end with a slash"),
        ({"path": "/"}, "either path, as in|path must begin"),
        ({"path": "/portal/"}, "belongs to the gateway itself"),
        ({"path": "/.well-known/x/"}, "belongs to the gateway itself"),
        ({"path": None, "server_name": "Shop.Example.com"}, "in lower case"),
        ({"path": None, "server_name": "shop"}, "must be a DNS name"),
        ({"path": None, "server_name": "*.example.com"}, "must be a DNS name"),
        ({"upstream": "https://mon1:1"}, "upstream must be a mapping"),
        ({"upstream": {"scheme": "https"}}, "upstream must be a mapping"),
        ({"upstream": {"scheme": "ftp", "port": 1}}, "http or https, got 'ftp'"),
        ({"upstream": {"scheme": "https", "port": "1"}}, "port of upstream must be a number"),
        ({"upstream": {"scheme": "https", "port": True}}, "port of upstream must be a number"),
        ({"upstream": {"scheme": "https", "port": 65536}}, "port of upstream must be a number"),
        ({"upstream": {"scheme": "http", "port": 1}}, "between hosts it has to be https"),
        ({"purpose": "a\nb"}, "purpose must be a text of one line"),
        ({"title": ""}, "title must be a text of one line"),
        ({"sign_in": "ldap"}, "sign_in must be one of basic, own, none"),
        ({"websocket": "yes"}, "websocket must be true or false"),
        ({"refuse": ["admin"]}, "must begin with a slash"),
        ({"refuse": ['/a"']}, "in plain characters"),
        ({"colour": "red"}, "a route has no colour"),
    ],
)
def test_a_mistake_is_said(changes: dict[str, Any], said: str) -> None:
    (problem,) = route_problems(route(**changes))
    assert re.search(said, problem), problem


# --- many routes ---


def test_the_same_route_of_two_hosts_is_one() -> None:
    both = [route(), route(host="mon2", address="mon2")]
    assert problems(*both) == []
    (merged,) = routes_merged(both, ADDRESSES)
    assert merged["servers"] == [
        {"host": "mon1", "address": "192.0.2.1:8443"},
        {"host": "mon2", "address": "192.0.2.2:8443"},
    ]
    assert "host" not in merged


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"name": "till"}, "two routes with the path /shop/"),
        ({"host": "mon2", "address": "mon2", "purpose": "x"}, "with different purpose"),
        ({"host": "mon2", "address": "mon2", "path": "/x/"}, "with different path"),
        (
            {"host": "mon2", "address": "mon2", "upstream": {"scheme": "https", "port": 1}},
            "with different upstream",
        ),
    ],
)
def test_routes_in_each_others_way_are_named_with_both_files(
    other: dict[str, Any], said: str
) -> None:
    first, second = route(), route(**other)
    (problem,) = problems(first, second)
    assert said in problem
    assert first["file"] in problem
    assert second["file"] in problem


def test_one_name_for_two_routes() -> None:
    named = {"path": None, "server_name": "shop.example.com"}
    (problem,) = problems(route(**named), route(name="till", **named))
    assert "two routes with the server_name shop.example.com" in problem
    (problem,) = problems(route(path=None, server_name="gw.example"), own_names=("gw.example",))
    assert "the gateway's own name" in problem


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": "gone", "address": "192.0.2.9"}, "its host gone is not in the inventory"),
        ({"address": "lost"}, "cannot resolve lost"),
        ({"address": ""}, "cannot resolve"),
        ({"problem": "it holds no route"}, "it holds no route"),
    ],
)
def test_routes_that_lead_nowhere(changes: dict[str, Any], said: str) -> None:
    (problem,) = problems(route(**changes), route(name="till", path="/till/"))
    assert said in problem
    assert problem.startswith("/routes/")


def test_all_mistakes_are_said_at_once() -> None:
    assert len(problems(route(path="x"), route(name="a", path="y"), route(name="b", host="c"))) == 3


# --- files, names, addresses ---


def slurped(name: str, text: str) -> dict[str, str]:
    return {"source": name, "content": base64.b64encode(text.encode()).decode()}


def test_files_are_read_in_order_and_what_is_no_route_is_said() -> None:
    read = routes_read(
        [
            slurped("/b.yml", "name: b"),
            slurped("/a.yml", "a: ["),
            slurped("/c.yml", "just words"),
            {"source": "/d.yml", "content": base64.b64encode(b"\xff").decode()},
        ]
    )
    assert [one["file"] for one in read] == ["/a.yml", "/b.yml", "/c.yml", "/d.yml"]
    assert read[1] == {"name": "b", "file": "/b.yml"}
    assert all("problem" in read[number] for number in (0, 2, 3))
    assert len(problems(*read)) >= 4


def test_of_several_addresses_every_run_finds_the_same() -> None:
    lines = ["2001:db8::1 STREAM mon1", "192.0.2.10 STREAM", "192.0.2.9 DGRAM", ""]
    for order in (lines, lines[::-1]):
        assert addresses_of([{"item": "mon1", "stdout": "\n".join(order)}]) == {"mon1": "192.0.2.9"}
    assert addresses_of([{"item": "v6", "stdout": "2001:db8::1 STREAM"}]) == {"v6": "2001:db8::1"}
    assert addresses_of([{"item": "lost", "stdout": ""}, {"item": "x"}]) == {"lost": "", "x": ""}
    (merged,) = routes_merged([route(address="v6")], {"v6": "2001:db8::1"})
    assert merged["servers"][0]["address"] == "[2001:db8::1]:8443"


def test_names_without_addresses() -> None:
    assert dns_names(["GW1", "192.0.2.1", "", "gw1", "::1", None, "b"]) == ["gw1", "b"]


# --- what is refused ---


@pytest.mark.parametrize("prefix", ["/", "/prometheus/"])
def test_what_is_refused_with_all_below(prefix: str) -> None:
    pattern = re.compile(refused_pattern(["/-/", "/api/v1/admin/"], prefix), re.IGNORECASE)
    for path in ("-", "-/", "-/quit", "api/v1/admin", "api/v1/admin/tsdb", "API/V1/Admin/"):
        assert pattern.search(prefix + path), path
    for path in ("-x", "a/-/", "api/v1/administrators", "api/v1", "x/api/v1/admin/"):
        assert not pattern.search(prefix + path), path


def test_nothing_refused_is_no_pattern() -> None:
    assert refused_pattern([], "/") == ""


@given(st.text())
def test_any_path_is_refused_or_sound(path: str) -> None:
    """What passes goes into nginx.conf as it stands."""
    if not route_problems(route(path=path)):
        assert re.fullmatch(r"/[A-Za-z0-9._~/-]+/", path)


# --- users ---

HASH = "$2y$08$" + "a" * 53


def test_users_with_a_hash_that_nginx_can_bear() -> None:
    users = {f"u{cost}": HASH.replace("08", f"{cost:02}") for cost in range(8, 13)}
    assert user_problems({"alice": HASH, "a@b.c": HASH.replace("2y", "2b"), **users}, "make") == []


@pytest.mark.parametrize(
    "value", ["secret", "{SHA}x", "$apr1$x", HASH + "a", HASH[:-1], None, 5, "$6$x", HASH + "\n"]
)
def test_what_is_no_bcrypt_hash_is_refused_and_not_repeated(value: Any) -> None:
    (problem,) = user_problems({"alice": value}, "make password")
    assert "alice has no bcrypt hash. `make password` makes one" in problem
    assert str(value) not in problem.replace("`make password` makes one", "") or value in (None, 5)


def test_costs_and_names() -> None:
    for cost in ("07", "13", "31"):
        (problem,) = user_problems({"alice": HASH.replace("08", cost)}, "make password")
        assert f"cost {int(cost)}" in problem
    for name in ("a:b", "", "a b", "a\nb", "-a"):
        assert user_problems({name: HASH}, "make password")


def test_filters_are_offered_by_name() -> None:
    assert set(FilterModule().filters()) == {
        *("addresses_of", "dns_names", "refused_pattern", "route_problems", "routes_merged"),
        *("routes_problems", "routes_read", "user_problems"),
    }
