"""The clocks of watched processes: no jump of any clock, and no pause, kills anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchdog_stage import BOOT, OTHER_USER, USER, VALIDATOR, Stage, found, process, rule, tree

from lookout.watchdog.decide import decide

BROWSER = process(10, 5, name="firefox")


def test_the_topmost_match_is_watched_with_all_below() -> None:
    stage = Stage()
    outcome = stage.scan(process(5), BROWSER, process(11, 10, name="firefox"), process(12, 11))
    assert list(outcome.watched) == [BROWSER.key]
    assert outcome.watched[BROWSER.key].members == ((10, 1000), (11, 1100), (12, 1200))


def test_one_below_a_parent_that_does_not_match_is_found() -> None:
    stage = Stage()
    outcome = stage.scan(process(5), process(6, 5), BROWSER, process(13, 6, name="firefox"))
    assert set(outcome.watched) == {(10, 1000), (13, 1300)}


def test_two_browsers_are_two_trees() -> None:
    outcome = Stage().scan(process(5), BROWSER, process(20, 5, name="firefox"))
    assert len(outcome.watched) == 2


@pytest.mark.parametrize(
    ("more", "name", "user", "matches"),
    [
        ({}, "firefox", OTHER_USER, True),
        ({}, "firefox-bin", USER, False),
        ({"users": ("browser",)}, "firefox", USER, True),
        ({"users": ("browser",)}, "firefox", OTHER_USER, False),
        ({"command": "^fire"}, "firefox", USER, True),
        ({"command": "^water"}, "firefox", USER, False),
        ({"executables": (), "command": "fox"}, "foxtrot", USER, True),
    ],
)
def test_a_rule_matches_in_all_that_it_says(
    more: dict[str, object], name: str, user: int, matches: bool
) -> None:
    stage = Stage(rules=(rule(**more),), users={10: user})
    assert bool(stage.scan(process(10, name=name)).watched) is matches


def test_the_first_rule_that_matches_counts() -> None:
    stage = Stage(rules=(rule(), rule(name="second")))
    assert [one.rule.name for one in stage.scan(BROWSER).watched.values()] == ["firefox"]


def test_a_kernel_thread_and_a_zombie_are_nobody() -> None:
    kernel, zombie = (
        process(2, 0, name="firefox", is_kernel=True),
        process(9, 5, name="firefox", state="Z"),
    )
    assert Stage().scan(kernel, zombie).watched == {}


def test_a_process_that_becomes_a_browser_is_watched_from_then_on() -> None:
    stage = Stage()
    stage.scan(process(10, name="geckodriver"))
    stage.now += 5
    assert stage.scan(process(10, name="firefox")).watched[10, 1000].since == stage.now - 5


# --- since when ---


def test_at_the_first_scan_every_clock_begins() -> None:
    stage = Stage()
    assert stage.scan(BROWSER).watched[BROWSER.key].since == stage.now


def test_one_that_started_between_two_scans_is_as_old_as_it_is() -> None:
    stage = Stage()
    stage.scan()
    stage.now += 2
    browser = stage.starting(30)
    stage.now += 3
    assert stage.scan(browser).watched[browser.key].since == pytest.approx(stage.now - 3)


def test_a_host_that_slept_makes_nobody_older() -> None:
    stage = Stage()
    stage.scan()
    browser = stage.starting(30)
    stage.now += 5
    stage.slept += 36_000
    assert stage.scan(browser).watched[browser.key].since == pytest.approx(stage.now - 5)
    stage.now += 5
    stage.slept += 36_000
    assert stage.scan(browser).watched[browser.key].since == pytest.approx(stage.now - 10)


def test_a_scan_that_comes_far_too_late_begins_anew() -> None:
    stage = Stage()
    stage.scan(BROWSER)
    stage.now += 31
    assert stage.scan(BROWSER).watched[BROWSER.key].since == stage.now


def test_validations_that_can_be_read_again_begin_anew() -> None:
    stage = Stage()
    stage.scan(BROWSER, files=[found(BROWSER, written=stage.clocks.day)])
    for _ in range(10):
        stage.now += 5
        assert stage.blind(BROWSER).watched[BROWSER.key].since == stage.now
    stage.now += 5
    outcome = stage.scan(BROWSER)
    assert outcome.watched[BROWSER.key].since == stage.now
    assert stage.age(outcome, BROWSER.key) is None


# --- validations ---


def test_a_validation_is_as_old_as_the_kernel_says() -> None:
    stage = Stage()
    stage.scan(BROWSER)
    stage.now += 5
    file = found(BROWSER, written=stage.clocks.day - 2)
    assert stage.age(stage.scan(BROWSER, files=[file]), BROWSER.key) == pytest.approx(2)
    stage.now += 5
    assert stage.age(stage.scan(BROWSER, files=[file]), BROWSER.key) == pytest.approx(7)


def test_what_the_writer_says_makes_it_older_alone() -> None:
    stage = Stage()
    stage.scan(BROWSER)
    stage.now += 5
    file = found(BROWSER, written=stage.clocks.day - 1, lag_seconds=100)
    assert stage.age(stage.scan(BROWSER, files=[file]), BROWSER.key) == pytest.approx(101)


def test_one_that_was_there_before_the_watchdog_counts_from_its_start() -> None:
    stage = Stage()
    file = found(BROWSER, written=stage.clocks.day - 5000, lag_seconds=30)
    assert stage.age(stage.scan(BROWSER, files=[file]), BROWSER.key) == 0


@pytest.mark.parametrize("jump", [-86_400.0, -10.0, 10.0, 86_400.0])
def test_a_jump_of_the_time_of_day_changes_no_age(jump: float) -> None:
    stage = Stage()
    stage.scan(BROWSER)
    stage.now += 5
    file = found(BROWSER, written=stage.clocks.day)
    stage.scan(BROWSER, files=[file])
    stage.set_by += jump
    stage.now += 5
    assert stage.age(stage.scan(BROWSER, files=[file]), BROWSER.key) == pytest.approx(5)
    # Written, then the clock was set, then scanned: off by an interval at most
    file = found(BROWSER, written=stage.clocks.day, inode=2)
    stage.set_by += jump
    stage.now += 5
    age = stage.age(stage.scan(BROWSER, files=[file]), BROWSER.key)
    assert age is not None
    assert 0 <= age <= 5


def test_a_validation_of_any_member_is_one_of_the_tree() -> None:
    stage, child = Stage(), process(11, 10)
    stage.scan(BROWSER, child)
    stage.now += 5
    files = [found(child, written=stage.clocks.day)]
    assert stage.age(stage.scan(BROWSER, child, files=files), BROWSER.key) == pytest.approx(0)


@pytest.mark.parametrize(("owner", "counts"), [(USER, 1), (0, 1), (VALIDATOR, 1), (OTHER_USER, 0)])
def test_who_may_validate(owner: int, counts: bool) -> None:
    stage = Stage()
    file = found(BROWSER, owner=owner)
    outcome = stage.scan(BROWSER, files=[file])
    assert (outcome.watched[BROWSER.key].validated is not None) == counts
    assert outcome.refused == ({} if counts else {"owner": 1})
    assert outcome.stale == ([] if counts else [file.name])


def test_one_of_a_predecessor_in_the_number_is_stale() -> None:
    stage = Stage()
    old = found(BROWSER, created=BROWSER.start - 1, name="10-999")
    gone = found(process(77))
    outcome = stage.scan(BROWSER, files=[old, gone])
    assert outcome.watched[BROWSER.key].validated is None
    assert outcome.stale == ["10-999", "77-7700"]


@pytest.mark.parametrize(("off", "counts"), [(0, True), (1.5, True), (-1.5, True), (2.5, False)])
def test_seconds_since_1970_within_what_psutil_may_be_off(off: float, counts: bool) -> None:
    stage = Stage()
    file = found(BROWSER, created=BOOT + BROWSER.start / 100 + off, in_seconds=True)
    outcome = stage.scan(BROWSER, files=[file])
    assert (outcome.watched[BROWSER.key].validated is not None) is counts


def test_names_of_before_the_clock_was_set_still_count() -> None:
    """psutil remembers the boot time of its first look."""
    stage = Stage()
    stage.scan(BROWSER)
    stage.set_by, stage.now = 3600, stage.now + 5
    for boot in (BOOT, BOOT + 3600):
        file = found(
            BROWSER, created=boot + BROWSER.start / 100, in_seconds=True, written=stage.clocks.day
        )
        stage.now += 5
        outcome = stage.scan(BROWSER, files=[file])
        assert stage.age(outcome, BROWSER.key) == pytest.approx(5)
        assert outcome.stale == []


STEPS = st.lists(
    st.tuples(
        st.floats(0.5, 20),  # until the next scan
        st.floats(-1e6, 1e6),  # the time of day is set by
        st.floats(0, 1e6),  # the host sleeps
        st.booleans(),  # validations cannot be read
    ),
    min_size=5,
    max_size=60,
)


@given(STEPS)
def test_one_that_is_validated_in_time_lives_whatever_the_clocks_do(
    steps: list[tuple[float, float, float, bool]],
) -> None:
    stage, inode, last = Stage(), 0, float("-inf")
    written = 0.0
    for seconds, jump, sleep, blind in steps:
        stage.now += seconds
        if stage.now - last > 60:
            inode, last, written = inode + 1, stage.now, stage.clocks.day
        stage.set_by += jump
        stage.slept += sleep
        file = found(BROWSER, written=written, inode=inode)
        outcome = stage.blind(BROWSER) if blind else stage.scan(BROWSER, files=[file])
        assert list(decide(outcome.watched, {}, stage.now, not blind)) == []


@given(STEPS)
def test_one_that_is_never_validated_is_found_whatever_the_clocks_do(
    steps: list[tuple[float, float, float, bool]],
) -> None:
    stage = Stage()
    stage.scan(BROWSER)
    began = stage.now
    for seconds, jump, sleep, _ in steps:
        stage.now += seconds
        stage.set_by += jump
        stage.slept += sleep
        outcome = stage.scan(BROWSER)
        late = stage.now - began
        kills = list(decide(outcome.watched, {}, stage.now))
        # Floating point may see the very second either way.
        if abs(late - 180) > 0.001:
            assert bool(kills) == (late > 180)


# --- programs that become others ---


def test_an_exec_under_the_same_name_is_matched_anew() -> None:
    """As of a wrapper script that becomes the browser."""
    stage = Stage(programs={10: "bash"})
    assert stage.scan(process(10, name="firefox", image=b"1")).watched == {}
    stage.programs[10] = "firefox"
    assert stage.scan(process(10, name="firefox", image=b"2")).watched.keys() == {(10, 1000)}
    stage.programs[10] = "bash"
    assert stage.scan(process(10, name="firefox", image=b"3")).watched == {}


def test_where_no_exec_can_be_seen_the_match_stays() -> None:
    stage = Stage()
    stage.scan(process(10, name="firefox", image=b"1"))
    stage.programs[10] = "what can be read of the rest"
    assert stage.scan(process(10, name="firefox", state="Z", threads=2)).watched != {}


def test_a_match_is_confirmed_as_it_is_now() -> None:
    stage = Stage()
    (rule_of,) = stage.rules
    stage.scan(BROWSER)
    assert stage.watch.confirm(BROWSER, rule_of) == stage.identify(BROWSER)
    stage.programs[10] = "bash"
    assert stage.watch.confirm(BROWSER, rule_of) is None
    assert stage.scan(BROWSER).watched == {}


def test_what_was_replaced_is_stale_and_so_it_is_while_nothing_can_be_trusted() -> None:
    stage = Stage()
    beside = [
        found(BROWSER, name=f"10-1000.{number:016x}", written=stage.clocks.day + number)
        for number in (1, 2)
    ]
    gone = found(process(77))
    for trusted in (True, False):
        outcome = stage.watch.update(tree(BROWSER), [*beside, gone], stage.clocks, trusted)
        assert outcome.stale == [gone.name, beside[0].name]
        assert (outcome.watched[BROWSER.key].validated is not None) is trusted
