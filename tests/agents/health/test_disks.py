"""Space and inodes, on numbers and on a real filesystem."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.health import disks
from lookout.health.disks import Usage
from lookout.health.results import CheckError

COUNT = st.integers(0, 2**60)


def test_what_is_kept_for_root_counts_as_used_up() -> None:
    usage = Usage(blocks=1000, blocks_free=100, blocks_available=50, inodes=200, inodes_free=50)
    assert usage.space_percent == pytest.approx(100 * 900 / 950)
    assert usage.inodes_percent == 75
    space, inodes = disks.judge(Path("/data"), usage, 94, 75, True)
    assert space.problem == "94.7 % of its space are used, the limit is 94 %"
    assert (space.key, space.alert) == ("disk//data", True)
    assert not inodes.failing, "the limit itself may be reached"


def test_a_filesystem_that_counts_no_inodes_has_enough_of_them() -> None:
    assert Usage(10, 5, 5, 0, 0).inodes_percent == 0


@given(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT))
def test_what_stat_prints_is_read(numbers: tuple[int, int, int, int, int]) -> None:
    assert disks.parse(" ".join(map(str, numbers)) + "\n") == Usage(*numbers)


@given(st.text(st.characters(exclude_categories=["Nd"])))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CheckError, match="no usage"):
        disks.parse(text)


def test_a_real_filesystem_is_read(tmp_path: Path) -> None:
    usage = disks.read(tmp_path, 10)
    assert usage.blocks >= usage.blocks_free >= usage.blocks_available > 0
    assert 0 < usage.space_percent < 100


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"gone.*No such file"):
        disks.read(tmp_path / "gone", 10)


def test_a_mount_that_does_not_answer_is_given_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "stat"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("lookout.health.disks.COMMAND", str(slow))
    with pytest.raises(CheckError, match=r"did not answer within 0\.2 s"):
        disks.read(tmp_path, 0.2)
