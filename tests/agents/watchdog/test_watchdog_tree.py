"""Which processes belong together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from watchdog_stage import process, tree

from lookout.watchdog.tree import Tree


def pids(found: list[object]) -> set[int]:
    return {one.pid for one in found}  # type: ignore[attr-defined]


def test_children_and_theirs() -> None:
    browser = process(10, 5)
    found = tree(
        process(1, 0), process(5), browser, process(11, 10), process(12, 11), process(20, 5)
    )
    assert pids([*found.members([browser.key])]) == {10, 11, 12}


def test_one_that_was_handed_on_is_remembered() -> None:
    browser, orphan = process(10, 5), process(12, 1)
    found = tree(browser, orphan, process(13, 12))
    assert pids([*found.members([browser.key])]) == {10}
    assert pids([*found.members([browser.key, orphan.key])]) == {10, 12, 13}


def test_a_successor_in_the_number_is_nobody() -> None:
    browser, other = process(10, 5), process(12, 1)
    assert pids([*tree(browser, other).members([browser.key, (12, other.start - 1)])]) == {10}


def test_a_session_belongs_to_its_leader() -> None:
    leader = process(10, 5, session=10)
    found = tree(leader, process(12, 1, session=10), process(13, 1, session=5))
    assert pids([*found.members([leader.key])]) == {10, 12}


def test_a_group_does_not() -> None:
    """In a pipe of a shell the browser may lead the group of those who read what it says."""
    browser = process(10, 5, group=10)
    assert pids([*tree(browser, process(11, 5, group=10)).members([browser.key])]) == {10}


@given(st.dictionaries(st.integers(1, 40), st.tuples(st.integers(0, 40), st.integers(0, 40))))
def test_members_are_closed_and_nobody_is_in_twice(shape: dict[int, tuple[int, int]]) -> None:
    """Whatever /proc says, rings included."""
    found = Tree(
        {pid: process(pid, parent, session=leader) for pid, (parent, leader) in shape.items()}
    )
    for one in found.processes.values():
        members = [member.pid for member in found.members([one.key])]
        assert members[0] == one.pid
        assert len(members) == len(set(members))
        assert 1 not in members[1:]
        for other in found.processes.values():
            if other.parent in members and other.pid != 1:
                assert other.pid in members
