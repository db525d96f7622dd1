"""What the rebuild drill calls missing."""

from __future__ import annotations

import rebuild_drill

BEFORE = {kind: [f"{kind} 1", f"{kind} 2"] for kind in rebuild_drill.KINDS}


def test_all_is_there_and_more() -> None:
    after = {kind: [*lines, "new"] for kind, lines in BEFORE.items()}
    table, missing = rebuild_drill.compare(BEFORE, after)
    assert missing == []
    assert [line.split()[-2:] for line in table.splitlines()[1:]] == [["2", "0"]] * len(BEFORE)


def test_each_line_that_is_gone_is_named() -> None:
    after = {**BEFORE, "silences": ["silences 2"]}
    table, missing = rebuild_drill.compare(BEFORE, after)
    assert missing == ["silences: silences 1"]
    assert "silences                       2        1" in table


def test_nothing_to_compare_is_no_success() -> None:
    _, missing = rebuild_drill.compare({**BEFORE, "series": []}, BEFORE)
    assert missing == ["series: nothing to compare with"]


def test_a_kind_that_is_gone_whole() -> None:
    _, missing = rebuild_drill.compare(BEFORE, {})
    assert len(missing) == 2 * len(BEFORE)
