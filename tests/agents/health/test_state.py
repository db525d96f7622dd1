"""The state between two runs: torn, missing, unwritable, and as it was written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.health.changes import FAILING, FLAPPING, OK, Entry
from lookout.health.state import State, StateError, dump, load, parse, save
from lookout.kit.files import write_atomically

TIMES = st.floats(min_value=0, max_value=1e11)
ENTRIES = st.builds(
    Entry,
    st.booleans(),
    TIMES,
    st.sampled_from([OK, FAILING, FLAPPING]),
    st.lists(TIMES, max_size=5).map(tuple),
    st.booleans(),
)
STATES = st.builds(
    State,
    st.dictionaries(st.text(), ENTRIES, max_size=5),
    st.lists(st.text(), max_size=3).map(tuple),
    st.dictionaries(st.text(), st.integers(0, 10**6), max_size=3),
    TIMES,
)
SOME = State({"unit/a.service": Entry(True, 1.0, FAILING, (1.0,))}, ("state",), {"state": 2}, 5.0)


@given(STATES)
def test_what_is_written_is_read_back(state: State) -> None:
    assert parse(dump(state)) == state


@given(st.binary(max_size=200))
def test_whatever_stands_in_the_file_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(StateError):
        parse(data)


@given(st.integers(0, len(dump(SOME)) - 2))
def test_a_torn_file_is_refused(length: int) -> None:
    with pytest.raises(StateError):
        parse(dump(SOME)[:length])


def test_no_file_is_no_mistake_and_a_torn_one_is_named(tmp_path: Path) -> None:
    path, spare = tmp_path / "state.json", tmp_path / "spare.json"
    assert load(path, spare) == (State(), [])
    path.write_text('{"version": 1, "entr')
    state, wrong = load(path, spare)
    assert state == State()
    assert len(wrong) == 1
    assert str(path) in wrong[0]


def test_the_newer_of_the_two_files_counts(tmp_path: Path) -> None:
    path, spare = tmp_path / "state.json", tmp_path / "spare.json"
    path.write_bytes(dump(State(written=1.0)))
    spare.write_bytes(dump(SOME))
    assert load(path, spare) == (SOME, [])
    path.write_bytes(dump(State(written=9.0)))
    assert load(path, spare)[0].written == 9.0


def test_a_full_disk_leaves_it_to_the_spare_file(tmp_path: Path) -> None:
    path, spare = tmp_path / "state.json", tmp_path / "spare.json"

    def write(file: Path, data: bytes, mode: int) -> None:
        if file == path:
            raise OSError(28, os.strerror(28))
        write_atomically(file, data, mode)

    (wrong,) = save(SOME, path, spare, write)
    assert wrong == f"{path}: No space left on device"
    assert load(path, spare) == (SOME, [])

    def full(_file: Path, _data: bytes, _mode: int) -> None:
        raise OSError(28, os.strerror(28))

    assert len(save(SOME, path, spare, full)) == 2
