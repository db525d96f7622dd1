"""What a drill leaves behind: metrics, state, and pages that can be read anywhere."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lookout.backup.drill import page, report, state
from lookout.backup.drill.results import Drill, HostResult, PartResult

NOW = 1_800_000_000.0
GOOD = PartResult(
    "grafana",
    snapshot="0123",
    saved=NOW - 3600,
    bytes=5 << 20,
    restore_seconds=1.5,
    judge_seconds=2,
)
BAD = replace(GOOD, part="shop", failures=("/etc/<script>alert(1)</script>: missing",))
UNKNOWN = replace(GOOD, part="prometheus", errors=("no Prometheus is on this host",))


def drill(*hosts: HostResult, at: float = NOW, partial: bool = False) -> Drill:
    return Drill("here", at, 12.5, hosts, partial)


def passed(at: float = NOW) -> Drill:
    return drill(HostResult("app1", (GOOD,)), at=at)


@pytest.mark.parametrize(
    ("host", "result"),
    [
        (HostResult("a", (GOOD,)), "passed"),
        (HostResult("a", (GOOD, BAD)), "failed"),
        (HostResult("a", (GOOD, UNKNOWN)), "error"),
        (HostResult("a", (BAD, UNKNOWN)), "failed"),
        (HostResult("a", (GOOD,), failures=("no record",)), "failed"),
        (HostResult("a", (GOOD,), errors=("scratch",)), "error"),
        (HostResult("a", (BAD,), errors=("scratch",)), "failed"),
        (HostResult("a"), "error"),
        (HostResult("a", nothing=True), "passed"),
        (HostResult("a", nothing=True, failures=("old",)), "failed"),
    ],
)
def test_the_worst_that_was_found_is_the_result(host: HostResult, result: str) -> None:
    assert host.result == result
    assert drill(HostResult("b", (GOOD,)), host).result == result


# --- state and metrics ---


def sample(states: state.States, name: str, **labels: str) -> float | None:
    full = f"lookout_restore_drill_{name}"
    return state.metrics(states).get_sample_value(full, {"host": "app1", **labels})


def test_the_time_of_the_last_pass_survives_a_failure() -> None:
    states = state.follow({}, passed(), ("app1",))
    assert sample(states, "last_passed_timestamp_seconds") == NOW
    assert sample(states, "result", result="passed") == 1
    assert sample(states, "data_age_seconds") == 3600
    assert sample(states, "restore_seconds") == 1.5
    assert sample(states, "part_restore_seconds", part="grafana") == 1.5
    states = state.follow(states, drill(HostResult("app1", (GOOD, BAD)), at=NOW + 9), ("app1",))
    assert sample(states, "last_passed_timestamp_seconds") == NOW
    assert sample(states, "last_run_timestamp_seconds") == NOW + 9
    assert [sample(states, "result", result=one) for one in ("passed", "failed", "error")] == [
        0,
        1,
        0,
    ]
    assert sample(states, "part_passed", part="grafana") == 1
    assert sample(states, "part_passed", part="shop") == 0


def test_a_pass_by_a_clock_that_was_ahead_ages_from_the_next_drill_on() -> None:
    ahead = state.follow({}, passed(at=NOW + 400 * 86400), ("app1", "app2"))
    ahead["app2"] = ahead["app1"]
    failed = state.follow(ahead, drill(HostResult("app1", (BAD,))), ("app1", "app2"))
    assert (failed["app1"].last_run, failed["app1"].last_passed) == (NOW, NOW)
    assert (failed["app2"].last_run, failed["app2"].last_passed) == (NOW, NOW)


def test_what_never_was_has_no_sample() -> None:
    states = state.follow({}, drill(HostResult("app1", errors=("down",))), ("app1",))
    for name in ("last_passed_timestamp_seconds", "restore_seconds", "data_age_seconds"):
        assert sample(states, name) is None
    assert sample(states, "result", result="error") == 1


def test_a_drill_of_some_parts_or_hosts_leaves_the_others() -> None:
    states = state.follow({}, passed(), ("app1", "app2"))
    states = state.follow(states, drill(HostResult("app1", (BAD,)), partial=True), ("app1",))
    assert states["app1"].result == "passed"
    states = state.follow(states, drill(HostResult("app2", (BAD,))), ("app1", "app2"))
    assert {host: one.result for host, one in states.items()} == {
        "app1": "passed",
        "app2": "failed",
    }
    assert set(state.follow(states, drill(), ("app2",))) == {"app2"}


def test_the_state_comes_back_and_a_torn_one_is_said(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert state.load(file) == ({}, "")
    states = state.follow({}, drill(HostResult("app1", (GOOD, BAD))), ("app1",))
    state.save(states, file)
    assert state.load(file) == (states, "")
    for text in ("{", "[]", '{"version": 2}', '{"version": 1, "hosts": {"a": {}}}'):
        file.write_text(text, encoding="ascii")
        found, wrong = state.load(file)
        assert (found, str(file) in wrong) == ({}, True)


# --- reports ---


class Seen(HTMLParser):
    """The tags of a page, and that each one is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_pages_need_nothing_from_elsewhere_and_escape_what_they_say(tmp_path: Path) -> None:
    found = drill(
        HostResult("<b>app1", (GOOD, BAD, UNKNOWN), notes=("<b>gone",)),
        HostResult("app2", failures=("no <record>",)),
    )
    written = report.write(found, tmp_path / "reports", 26)
    for file in (written, written.with_name("index.html")):
        text = file.read_text(encoding="utf-8")
        seen = Seen(text)
        assert seen.open == []
        assert not {"script", "b", "img", "link", "record"} & set(seen.tags)
        assert not re.search(r"https?://|url\(|@import", text)
        assert "default-src 'none'" in text
        assert "width=device-width" in text
        assert "prefers-color-scheme: dark" in text
    page_of = written.read_text(encoding="utf-8")
    assert "/etc/&lt;script&gt;alert(1)&lt;/script&gt;: missing" in page_of
    assert "no Prometheus is on this host" in page_of
    assert "&lt;b&gt;gone" in page_of
    assert Seen((tmp_path / "reports/index.html").read_text("utf-8")).links == [written.name]


def test_the_newest_reports_are_kept_and_the_index_leads_to_them(tmp_path: Path) -> None:
    for number in range(5):
        report.write(passed(NOW + number * 86400), tmp_path, 3)
    names = sorted(file.name for file in tmp_path.iterdir())
    days = ["20270117T080000Z", "20270118T080000Z", "20270119T080000Z"]
    assert names == sorted(
        [
            *(f"{day}.{kind}" for day in days for kind in ("html", "json")),
            "index.html",
            "latest.json",
        ]
    )
    links = Seen((tmp_path / "index.html").read_text("utf-8")).links
    assert links == [f"{day}.html" for day in reversed(days)]
    latest = json.loads((tmp_path / "latest.json").read_text("utf-8"))
    assert latest["started"] == NOW + 4 * 86400
    assert latest["hosts"][0]["parts"][0]["result"] == "passed"


def test_a_torn_report_does_not_spoil_the_history(tmp_path: Path) -> None:
    (tmp_path / "20260101T000000Z.json").write_text("{", encoding="ascii")
    report.write(passed(), tmp_path, 26)
    assert [name for name, _ in report.history(tmp_path)] == ["20270115T080000Z"]


def test_the_table_has_a_line_for_each_part_and_for_what_concerns_all() -> None:
    shown = report.table(
        drill(
            HostResult("app1", (GOOD, BAD)),
            HostResult("app2", errors=("down",)),
            HostResult("app3", notes=("shop: no longer",), nothing=True),
        )
    )
    lines = shown.splitlines()
    assert len(lines) == 5
    assert re.search(r"^passed +app3 +shop: no longer$", lines[4])
    assert re.search(r"^passed +app1 +grafana +2027-01-15 07:00 +1\.5 s +2\.0 s$", lines[1])
    assert re.search(r"^failed +app1 +shop .* missing$", lines[2])
    assert re.search(r"^error +app2 +down$", lines[3])


@pytest.mark.parametrize(
    ("took", "said"),
    [(None, ""), (0.04, "0.0 s"), (90, "1.5 min"), (9000, "2.5 h"), (2e5, "2.3 d")],
)
def test_durations_are_for_people(took: float | None, said: str) -> None:
    assert page.seconds(took) == said
