"""Every host with backups is tried by one drill host, which can judge it where there is one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from plugins.filter.drills import FilterModule

drill_shares = FilterModule().filters()["drill_shares"]
undrilled = FilterModule().filters()["undrilled"]
JUDGED_IN = ["database", "monitoring"]
SITE = {
    "all": ["mon1", "gw1", "db1", "db2", "app1", "app2"],
    "monitoring": ["mon1"],
    "database": ["db1", "db2"],
    "restore_drill": ["mon1", "db1"],
}


def test_a_single_host_tries_itself() -> None:
    site = {"all": ["one"], "monitoring": ["one"], "restore_drill": ["one"]}
    for kept in ([], ["one"]):
        assert drill_shares(site, {}, kept, JUDGED_IN) == {"one": ["one"]}


def test_one_drill_host_tries_all_that_have_backups() -> None:
    site = {**SITE, "restore_drill": ["gw1"]}
    kept = [host for host in SITE["all"] if host != "app2"]
    assert drill_shares(site, {}, kept, JUDGED_IN) == {"gw1": ["gw1", "mon1", "db1", "db2", "app1"]}


def test_several_share_and_databases_go_where_there_is_a_server() -> None:
    assert drill_shares(SITE, {}, SITE["all"], JUDGED_IN) == {
        "mon1": ["mon1", "gw1", "app2"],
        "db1": ["db1", "db2", "app1"],
    }


def test_what_the_inventory_names_is_left_to_whom_it_names() -> None:
    named = {"db1": ["db1", "db2", "mon1"]}
    assert drill_shares(SITE, named, SITE["all"], JUDGED_IN) == {"mon1": ["gw1", "app1", "app2"]}
    # Whoever has nothing left tries itself all the same: a drill host without a host is a mistake.
    named = {"db1": SITE["all"]}
    assert drill_shares(SITE, named, SITE["all"], JUDGED_IN) == {"mon1": ["mon1"]}
    assert undrilled(SITE, named, SITE["all"]) == []


def test_whom_nobody_tries_is_known() -> None:
    named = {"mon1": ["mon1"], "db1": ["db1", "db2"]}
    assert drill_shares(SITE, named, SITE["all"], JUDGED_IN) == {}
    assert undrilled(SITE, named, SITE["all"]) == ["gw1", "app1", "app2"]


HOSTS = [f"host{number}" for number in range(50)]
some = st.lists(st.sampled_from(HOSTS), unique=True)


@given(some, some, some.filter(bool))
def test_each_is_tried_once_and_by_whom_can_judge_it(
    database: list[str], monitoring: list[str], drilling: list[str]
) -> None:
    site = {
        "all": HOSTS,
        "database": database,
        "monitoring": monitoring,
        "restore_drill": drilling,
    }
    shares = drill_shares(site, {}, HOSTS, JUDGED_IN)
    assert set(shares) == set(drilling)
    assert Counter(host for hosts in shares.values() for host in hosts) == Counter(HOSTS)
    for drill, hosts in shares.items():
        assert hosts[0] == drill
        for host in hosts:
            needs = {group for group in JUDGED_IN if host in site[group]}
            can = [one for one in drilling if all(one in site[group] for group in needs)]
            assert drill in can or not can
    # One that is added last moves nobody.
    more = {**site, "all": [*HOSTS, "new"]}
    grown = drill_shares(more, {}, [*HOSTS, "new"], JUDGED_IN)
    assert {
        drill: [one for one in hosts if one != "new"] for drill, hosts in grown.items()
    } == shares


@given(st.integers(1, 10))
def test_the_load_is_even(drills: int) -> None:
    shares = drill_shares({"all": HOSTS, "restore_drill": HOSTS[:drills]}, {}, HOSTS, JUDGED_IN)
    sizes = [len(hosts) for hosts in shares.values()]
    assert max(sizes) - min(sizes) <= 1
