"""What a host remembers of its runs survives, and a file that does not is begun anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.backup.night import new_bytes
from lookout.backup.state import PartState, State, StateError, dump, load, metrics, parse, save

TIMES = st.floats(0, 4e9)
SIZES = st.integers(0, 1 << 50)
PARTS = st.builds(PartState, TIMES, TIMES, SIZES, SIZES, st.integers(-1, 255))
STATES = st.builds(
    State, TIMES, TIMES, TIMES, st.dictionaries(st.from_regex(r"[a-z]+"), PARTS), st.booleans()
)


@given(STATES)
def test_a_state_is_read_back_as_it_was(state: State) -> None:
    assert parse(dump(state)) == state


@given(st.binary(max_size=200))
def test_whatever_is_in_the_file_it_is_a_state_or_said_to_be_none(data: bytes) -> None:
    with pytest.raises(StateError):
        parse(data)


@given(STATES, st.data())
def test_a_torn_state_is_none(state: State, data: st.DataObject) -> None:
    whole = dump(state).rstrip()
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(StateError):
        parse(whole[:end])


@pytest.mark.parametrize("wrong", [True, "1", None, float("nan"), float("inf"), [1]])
def test_what_is_no_number_is_none(wrong: object) -> None:
    raw = json.loads(dump(State()))
    raw["last_success"] = wrong
    with pytest.raises(StateError):
        parse(json.dumps(raw))


def test_another_version_is_none() -> None:
    with pytest.raises(StateError, match="version 2 is not 1"):
        parse(dump(State()).replace('"version": 1', '"version": 2'))


@given(STATES, TIMES)
def test_nothing_is_dated_in_the_future_when_a_run_begins(state: State, now: float) -> None:
    begun = state.begin(now)
    assert begun.last_attempt == now
    assert begun.last_success in (0.0, state.last_success)
    assert begun.last_success <= now
    assert all(part.last_success <= now for part in begun.parts.values())
    assert begun.parts.keys() == state.parts.keys()


def test_it_is_kept_in_a_file_that_others_do_not_read(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert load(file) == (State(), "")
    state = State(1.0, 2.0, 3.0, {"shop": PartState(1.0)})
    save(state, file)
    assert load(file) == (state, "")
    assert file.stat().st_mode & 0o777 == 0o640
    file.write_text("{")
    assert load(file)[0] == State()
    assert str(file) in load(file)[1]


def test_a_part_that_was_never_saved_has_its_failure_alone() -> None:
    registry = metrics(State(5.0, 0.0, 1.0, {"shop": PartState(exit_code=3)}), 3600.0)
    shown = {(s.name, s.labels.get("part")): s.value for m in registry.collect() for s in m.samples}
    assert shown == {
        ("lookout_backup_last_attempt_timestamp_seconds", None): 5.0,
        ("lookout_backup_duration_seconds", None): 1.0,
        ("lookout_backup_running", None): 0.0,
        ("lookout_backup_time_limit_seconds", None): 3600.0,
        ("lookout_backup_part_duration_seconds", "shop"): 0.0,
        ("lookout_backup_part_exit_code", "shop"): 3.0,
    }


SAVED = State(parts={"shop": PartState(last_success=1.0, bytes=1000)})


@pytest.mark.parametrize(
    ("needs", "grows"),
    [
        # Unknown to the repository, grown, as it was (a tenth may be other data), and shrunk
        ({"new": 500}, 500),
        ({"shop": 1500}, 500),
        ({"shop": 1000}, 100),
        ({"shop": 100}, 10),
        ({"shop": 1000, "new": 500}, 600),
        ({}, 0),
    ],
)
def test_the_repository_grows_by_what_it_does_not_have(needs: dict[str, int], grows: int) -> None:
    assert new_bytes(needs, SAVED) == grows


def test_what_was_never_saved_is_all_new() -> None:
    assert new_bytes({"shop": 1000}, State(parts={"shop": PartState(bytes=1000)})) == 1000
