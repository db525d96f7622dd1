"""Which snapshots a drill takes, and what is missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lookout.backup.drill.choose import choose
from lookout.backup.restic import Snapshot

NOW, DAY = 1_800_000_000.0, 86400.0


def saved(name: str, days_ago: float, part: str = "grafana", host: str = "app1") -> Snapshot:
    return Snapshot(name, NOW - days_ago * DAY, host, (f"part={part}",))


def record(name: str, days_ago: float, *good: str, host: str = "app1") -> Snapshot:
    return Snapshot(name, NOW - days_ago * DAY, host, ("record", *(f"good={one}" for one in good)))


def whole(name: str, days_ago: float, names: str, *good: str) -> Snapshot:
    """The record of a run that says which parts the host has."""
    tags = ("record", "whole", *(f"names={one}" for one in names.split()))
    made = record(name, days_ago, *good)
    return replace(made, tags=(*tags, *made.tags[1:]))


def test_the_newest_record_says_which_ones_are_good() -> None:
    all_of = [
        saved("a1", 2.1), record("r1", 2, "a1"),
        saved("a2", 1.1), record("r2", 1, "a2"),
        # Saved by a run that did not come to its end, or that failed
        saved("a3", 0.1),
    ]  # fmt: skip
    found = choose(all_of, "app1", NOW)
    assert {part: one.id for part, one in found.snapshots.items()} == {"grafana": "a2"}
    assert (found.missing, found.failures) == ({}, ())


def test_without_a_record_nothing_is_known_to_be_good() -> None:
    for snapshots in ([], [saved("a1", 1)], [record("r", 1, "a1", host="app2")]):
        found = choose(snapshots, "app1", NOW)
        assert "no record of a run of app1" in found.failures[0]
        assert found.snapshots == {}


def test_a_part_that_an_earlier_run_had_is_missed() -> None:
    all_of = [
        saved("a1", 3), saved("b1", 3, "certbot"), record("r1", 3, "a1", "b1"),
        saved("a2", 2), saved("b2", 2, "certbot"), record("r2", 2, "a2", "b2"),
        saved("a3", 1), record("r3", 1, "a3"),
    ]  # fmt: skip
    found = choose(all_of, "app1", NOW)
    assert set(found.snapshots) == {"grafana"}
    assert set(found.missing) == {"certbot"}
    assert "the newest one that is known is of 2027-01-13" in found.missing["certbot"]


def test_a_snapshot_that_the_record_names_has_to_be_there() -> None:
    found = choose([saved("a1", 1), record("r1", 1, "a1", "0123456789ab")], "app1", NOW)
    assert set(found.snapshots) == {"grafana"}
    assert "snapshot 01234567, and it is not there" in found.failures[0]


def test_a_run_that_saved_nothing_has_failed() -> None:
    found = choose([saved("a1", 2), record("r1", 2, "a1"), record("r2", 1)], "app1", NOW)
    assert "saved nothing that is good" in found.failures[0]
    assert set(found.missing) == {"grafana"}


def test_what_is_dated_in_the_future_does_not_count() -> None:
    all_of = [
        saved("a1", 1), record("r1", 1, "a1"),
        saved("a2", -2), record("r2", -2, "a2"),
    ]  # fmt: skip
    found = choose(all_of, "app1", NOW)
    assert found.snapshots["grafana"].id == "a1"
    assert (found.missing, found.failures) == ({}, ())


def test_a_run_of_some_parts_alone_says_nothing_of_the_others() -> None:
    later = Snapshot("r2", NOW, "app1", ("record", "partial", "good=a2"))
    all_of = [
        saved("a1", 1), saved("b1", 1, "certbot"), record("r1", 1, "a1", "b1"),
        saved("a2", 0), later,
    ]  # fmt: skip
    found = choose(all_of, "app1", NOW)
    assert {part: one.id for part, one in found.snapshots.items()} == {
        "grafana": "a2",
        "certbot": "b1",
    }
    assert (found.missing, found.failures) == ({}, ())
    assert "no record of a run" in choose([saved("a2", 0), later], "app1", NOW).failures[0]


def test_a_part_that_the_host_has_no_more_is_not_missed() -> None:
    all_of = [
        saved("a1", 2), saved("b1", 2, "postgresql"),
        whole("r1", 2, "grafana postgresql", "a1", "b1"),
        saved("a2", 1), whole("r2", 1, "grafana", "a2"),
    ]  # fmt: skip
    found = choose(all_of, "app1", NOW)
    assert set(found.snapshots) == {"grafana"}
    assert (found.missing, found.failures) == ({}, ())
    assert "does not name it: it is no longer part of the backup" in found.dropped["postgresql"]
    assert "the newest one that is known is of 2027-01-13" in found.dropped["postgresql"]
    # It came back, and was saved by itself so far.
    alone = Snapshot("r3", NOW, "app1", ("record", "partial", "names=postgresql", "good=b3"))
    found = choose([*all_of, saved("b3", 0, "postgresql"), alone], "app1", NOW)
    assert (set(found.snapshots), found.dropped) == ({"grafana", "postgresql"}, {})


@pytest.mark.parametrize("earlier", [True, False])
def test_a_part_that_the_host_has_and_did_not_save_is_missed(earlier: bool) -> None:
    before = [saved("b1", 2, "shop"), whole("r1", 2, "shop", "b1")] if earlier else []
    all_of = [*before, saved("a2", 1), whole("r2", 1, "grafana shop", "a2")]
    found = choose(all_of, "app1", NOW)
    assert (set(found.missing), found.dropped) == ({"shop"}, {})
    says = "is known is of 2027-01-13" if earlier else "nor has any other"
    assert says in found.missing["shop"]


def test_a_host_that_has_nothing_to_save_says_so() -> None:
    found = choose([whole("r1", 1, "")], "app1", NOW)
    assert found.nothing
    assert found.failures == ()
    bad = choose([whole("r1", 1, "grafana")], "app1", NOW)
    assert not bad.nothing
    assert "saved nothing that is good" in bad.failures[0]
    assert not choose([], "app1", NOW).nothing


def test_of_a_second_copy_that_was_put_back_the_records_name_the_originals() -> None:
    copied = replace(saved("c1", 1), original="a1")
    found = choose([copied, record("r1", 1, "a1")], "app1", NOW)
    assert found.snapshots == {"grafana": copied}
    assert (found.missing, found.failures) == ({}, ())
