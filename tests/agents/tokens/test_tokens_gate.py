"""The gate: files that change, break and vanish under it, wrong tokens in masses."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lookout.tokens import slots, storage
from lookout.tokens.gate import Gate, Refusal
from lookout.tokens.slots import Slot, TokenSet

NOW = 1_700_000_000.0


class Bed:
    """A file of tokens, and a gate with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.file, self.used = folder / "tokens.json", folder / "used.json"
        self.now = NOW
        self.registry = CollectorRegistry()
        held, self.slot, self.token = slots.create(
            TokenSet(()), "grafana", ("read",), NOW + 9e6, NOW
        )
        storage.write(self.file, held)
        self.gate = self.again()

    def again(self) -> Gate:
        self.registry = CollectorRegistry()
        return Gate(self.file, self.used, self.registry, lambda: self.now)

    def rotate(self) -> str:
        used = storage.read_used(self.used)
        held, _, token = slots.rotate(storage.read(self.file), "grafana", 3600, self.now, used)
        storage.write(self.file, held)
        return token

    def reason(self, token: str | None, scope: slots.Scope = "read") -> str:
        answer = self.gate.ask(token, scope, "192.0.2.1")
        return answer.reason if isinstance(answer, Refusal) else ""

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def test_only_a_right_token_is_let_in(bed: Bed) -> None:
    assert isinstance(bed.gate.ask(bed.token, "read", "192.0.2.1"), Slot)
    assert bed.reason(bed.token, "train") == "scope"
    assert bed.reason(None) == bed.reason("") == "missing"
    assert bed.reason(bed.token[:-1]) == "unknown"
    bed.now += 9e6
    assert bed.reason(bed.token) == "expired"
    assert bed.metric("lookout_api_refused_requests_total", reason="unknown") == 1


def test_both_hold_until_the_new_one_is_used(bed: Bed) -> None:
    new = bed.rotate()
    assert bed.reason(bed.token) == ""
    assert bed.reason(new) == ""
    bed.now += 30
    assert bed.reason(bed.token) == "ended"
    bed.gate = bed.again()
    assert bed.reason(bed.token) == "ended", "a restart does not forget it"


def test_a_new_token_that_nobody_uses_takes_over_in_time(bed: Bed) -> None:
    new = bed.rotate()
    bed.now += 3600
    assert bed.reason(bed.token) == "ended"
    assert bed.reason(new) == ""


@pytest.mark.parametrize(
    "torn",
    ["", "# torn\n", "{}", "tokens: null", "{", '{"tokens": [{"id": 1}]}', "\x00", "[]", "\udcff"],
)
def test_a_broken_file_keeps_the_former_tokens(bed: Bed, torn: str) -> None:
    whole = bed.file.read_text()
    bed.file.write_bytes(torn.encode("utf-8", "surrogateescape"))
    assert bed.reason(bed.token) == ""
    assert bed.metric("lookout_api_token_file_whole") == 0
    storage.write(bed.file, TokenSet(()))
    assert bed.reason(bed.token) == "unknown"
    bed.file.write_text(whole)
    assert bed.reason(bed.token) == ""
    assert bed.metric("lookout_api_token_file_whole") == 1


def test_a_change_that_keeps_size_and_date_is_seen(bed: Bed) -> None:
    """Of a copy with its date; and of owner or mode, by which a file may be read again."""
    assert bed.reason(bed.token) == ""
    about, text = bed.file.stat(), bed.file.read_text()
    bed.file.write_text(text.replace("grafana", "grafanb"))
    os.utime(bed.file, ns=(about.st_atime_ns, about.st_mtime_ns))
    answer = bed.gate.ask(bed.token, "read", "192.0.2.1")
    assert isinstance(answer, Slot)
    assert answer.client == "grafanb"


def test_who_has_ended_stays_so_when_its_successor_is_revoked(bed: Bed) -> None:
    new = bed.rotate()
    assert bed.reason(new) == ""
    bed.now += 60
    assert bed.reason(bed.token) == "ended"
    held, _ = slots.revoke(storage.read(bed.file), new.split("_")[1])
    held, _, other = slots.create(held, "robot", ("read",), NOW + 9e6, bed.now)
    storage.write(bed.file, held)
    assert bed.reason(other) == "", "which is noted"
    assert bed.reason(bed.token) == "ended"
    bed.gate = bed.again()
    assert bed.reason(bed.token) == "ended"


def test_a_file_that_is_gone_revokes_nothing(bed: Bed) -> None:
    bed.file.unlink()
    assert bed.reason(bed.token) == ""
    assert bed.metric("lookout_api_token_file_whole") == 0


def test_a_flood_of_wrong_tokens_is_limited_and_locks_nobody_out(bed: Bed) -> None:
    reasons = [bed.reason(f"wrong {number}") for number in range(50)]
    assert reasons == ["unknown"] * 10 + ["limited"] * 40
    assert bed.reason(bed.token) == ""
    answer = bed.gate.ask("wrong", "read", "192.0.2.1")
    assert isinstance(answer, Refusal)
    assert answer.retry_seconds == 60
    other = bed.gate.ask("wrong", "read", "192.0.2.2")
    assert isinstance(other, Refusal)
    assert other.reason == "unknown"
    bed.now += 60
    assert bed.reason("wrong") == "unknown"


@pytest.mark.parametrize("jump", [-7200, 7200])
def test_a_clock_that_jumps_limits_nobody_for_longer(bed: Bed, jump: float) -> None:
    for _ in range(50):
        bed.reason("wrong")
    bed.now += jump
    assert bed.reason("wrong") == "unknown"


def test_addresses_are_not_kept_for_ever(bed: Bed) -> None:
    for number in range(5000):
        bed.gate.ask("wrong", "read", f"192.0.2.{number}")
    assert len(bed.gate._failed) == 1024


def test_a_note_that_cannot_be_written_holds_until_the_end(bed: Bed, tmp_path: Path) -> None:
    bed.used = tmp_path / "missing" / "used.json"
    bed.gate = bed.again()
    new = bed.rotate()
    assert bed.reason(new) == ""
    bed.now += 30
    assert bed.reason(bed.token) == "ended"


@pytest.mark.parametrize("note", ["", "[]", '{"a": "b"}', "{", '{"a": true}'])
def test_a_broken_note_is_made_anew(bed: Bed, note: str) -> None:
    bed.used.write_text(note)
    bed.gate = bed.again()
    assert bed.reason(bed.token) == ""
    assert json.loads(bed.used.read_text()) == {bed.slot.id: NOW}


def test_rotations_under_load_refuse_no_request(bed: Bed) -> None:
    """Clients take over the new token each in its time; each of 10,000 requests is let in."""
    current, refused, rounds = [bed.token], [], 20
    asked = [0] * 4

    def client(number: int) -> None:
        for _ in range(10_000 // 4):
            answer = bed.gate.ask(current[0], "read", "192.0.2.1")
            asked[number] += 1
            if isinstance(answer, Refusal):
                refused.append(answer)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        # Each of them has begun a request with the newest token before there is another one.
        before = [*asked]
        while any(
            thread.is_alive() and now < then + 2
            for thread, now, then in zip(threads, asked, before, strict=True)
        ):
            time.sleep(0.001)
        current[0] = bed.rotate()
    for thread in threads:
        thread.join(60)
    assert (sum(asked), refused) == (10_000, [])
    assert len(storage.read(bed.file).tokens) == 2


def test_the_file_is_for_its_group_alone(bed: Bed) -> None:
    assert os.stat(bed.file).st_mode & 0o777 == 0o640
