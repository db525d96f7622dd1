"""Reading /proc: what stands there, and what does not."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.watchdog import details, processes
from lookout.watchdog.details import PAGE_BYTES
from lookout.watchdog.processes import Process, ProcessTable, parse_stat

NUMBERS = st.integers(0, 2**63)


def line(pid: int, name: bytes, state: str, numbers: list[int]) -> bytes:
    return b"%d (%s) %s " % (pid, name, state.encode()) + b" ".join(b"%d" % n for n in numbers)


@given(
    pid=st.integers(1, 2**22),
    name=st.binary(max_size=15),
    state=st.sampled_from("RSDZTtXI"),
    numbers=st.lists(NUMBERS, min_size=49, max_size=49),
)
def test_any_name_is_told_from_the_fields_after_it(
    pid: int, name: bytes, state: str, numbers: list[int]
) -> None:
    one = parse_stat(line(pid, name, state, numbers) + b"\n")
    assert (one.pid, one.state, one.name) == (pid, state, name.decode("utf-8", "replace"))
    assert (one.parent, one.group, one.session, one.start) == (*numbers[:3], numbers[18])
    assert one.is_kernel == bool(numbers[5] & 0x00200000)


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_a_value_error(content: bytes) -> None:
    for parse in (
        processes.parse_stat,
        details.parse_statm,
        details.parse_rollup,
        details.parse_user,
    ):
        try:
            parse(content)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "name", [b"a b", b"((", b"))", b") S 1 1 1", b"1 (x) S", b"\n", b"Web Content", b"\xff\xfe"]
)
def test_names_that_look_like_fields(name: bytes) -> None:
    one = parse_stat(line(7, name, "S", list(range(49))))
    assert (one.state, one.parent, one.start) == ("S", 0, 18)


def test_rollup_statm_and_status() -> None:
    rollup = b"55d0-7ffe ---p 0 00:00 0 [rollup]\nRss:  4000 kB\nPss:  1234 kB\nPss_Dirty: 9 kB\n"
    assert details.parse_rollup(rollup) == 1234 * 1024
    assert details.parse_statm(b"900 25 3 4 0 5 0\n") == 25 * PAGE_BYTES
    assert details.parse_user(b"Name:\tx\nUid:\t1000\t0\t0\t0\n") == 1000


@pytest.fixture
def table() -> Iterator[ProcessTable]:
    table = ProcessTable()
    yield table
    table.close()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


def test_a_scan_finds_this_process_and_its_child(
    table: ProcessTable, child: subprocess.Popen[bytes]
) -> None:
    found = table.scan()
    assert found[child.pid].parent == os.getpid()
    assert found[os.getpid()] == processes.read_process(os.getpid())
    assert 1 in found


def test_one_that_has_ended_is_gone_at_the_next_scan(
    table: ProcessTable, child: subprocess.Popen[bytes]
) -> None:
    assert child.pid in table.scan()
    child.kill()
    child.wait()
    assert child.pid not in table.scan()
    assert child.pid not in table._kept


def test_a_sleeping_process_is_not_parsed_again(
    table: ProcessTable, child: subprocess.Popen[bytes]
) -> None:
    first = table.scan()[child.pid]
    while (second := table.scan()[child.pid]) is not first:
        first = second
    assert second is first


def test_without_descriptors_to_spare_it_reads_all_the_same(child: subprocess.Popen[bytes]) -> None:
    table = ProcessTable()
    table.most_descriptors = 1
    assert {os.getpid(), child.pid} <= table.scan().keys()
    assert {os.getpid(), child.pid} <= table.scan().keys()
    assert len(table._kept) == 1
    table.close()
    assert table._kept == {}


def written(proc: Path, pid: int, content: bytes) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_bytes(content)


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    written(tmp_path, 5, line(5, b"right", "S", list(range(49))))
    written(tmp_path, 6, b"")
    written(tmp_path, 7, b"7 (short) S 1\n")
    (tmp_path / "8").mkdir()  # it ended between the look at the folder and this one
    (tmp_path / "self").mkdir()
    table = ProcessTable(tmp_path)
    assert list(table.scan()) == [5]
    table.close()


def test_identity_is_that_of_the_process() -> None:
    me = details.read_identity(os.getpid())
    assert me.executable == os.readlink("/proc/self/exe")
    assert me.user == os.getuid()
    assert "pytest" in me.command or "python" in me.command
    assert details.resident_bytes(os.getpid()) > 1_000_000
    assert 0 < details.proportional_bytes(os.getpid()) <= 1.1 * details.resident_bytes(os.getpid())


def test_a_number_of_nobody(tmp_path: Path) -> None:
    for read in (processes.read_process, details.read_identity):
        with pytest.raises(ProcessLookupError):
            read(5, tmp_path)
    assert details.resident_bytes(5, tmp_path) == 0
    assert details.proportional_bytes(5, tmp_path) == 0
    assert details.control_group(5, tmp_path) == ""


def test_an_executable_that_was_replaced_keeps_its_name() -> None:
    assert details.Identity("/usr/lib/f/firefox (deleted)", "", 0).program == "firefox"


def test_ancestors_end_in_a_ring() -> None:
    def one(pid: int, parent: int) -> Process:
        return Process(pid, 1, "x", "S", parent, 1, 1, is_kernel=False)

    table = {1: one(1, 0), 2: one(2, 1), 3: one(3, 2), 8: one(8, 9), 9: one(9, 8)}
    assert [a.pid for a in processes.ancestors(table[3], table)] == [2, 1]
    assert [a.pid for a in processes.ancestors(table[8], table)] == [9]


def test_no_more_of_a_command_line_is_read_than_a_rule_needs() -> None:
    words = [sys.executable, "-c", "input()", "x" * 100_000]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as child:
        time.sleep(0.2)  # at the very beginning it has no arguments
        command = details.read_identity(child.pid).command
        child.kill()
    assert command.startswith(sys.executable)
    assert len(command) == details.COMMAND_BYTES


def test_the_table_leaves_half_of_the_descriptors(table: ProcessTable) -> None:
    assert table.most_descriptors == resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def test_without_any_descriptor_nobody_is_taken_for_ended(
    table: ProcessTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(_path: str, _flags: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", lacking)
    with pytest.raises(OSError, match="Too many"):
        table.scan()


def test_an_exec_under_the_same_name_is_seen(table: ProcessTable) -> None:
    again = "os.execv(sys.executable, [sys.executable, '-c', 'input()', 'new'])"
    code = f"import os, sys; input(); {again}"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        before = table.scan()[child.pid]
        time.sleep(0.3)
        settled = table.scan()[child.pid]
        child.stdin.write(b"\n")
        child.stdin.flush()
        ends = time.monotonic() + 5
        while table.scan()[child.pid].runs_what(settled) and time.monotonic() < ends:
            time.sleep(0.02)
        after = table.scan()[child.pid]
        child.kill()
    assert (after.key, after.name) == (settled.key, settled.name)
    assert settled.runs_what(before)
    assert not after.runs_what(settled)


WITHOUT_ITS_FIRST_THREAD = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(platform.machine(), 93), 0)
"""


def test_one_without_its_first_thread_lives_with_all_that_it_has(table: ProcessTable) -> None:
    with subprocess.Popen([sys.executable, "-c", WITHOUT_ITS_FIRST_THREAD, "mark"]) as child:
        ends = time.monotonic() + 5
        while table.scan()[child.pid].state != "Z" and time.monotonic() < ends:
            time.sleep(0.02)
        one = table.scan()[child.pid]
        identity = details.read_identity(child.pid)
        memory = details.resident_bytes(child.pid), details.proportional_bytes(child.pid)
        child.kill()
        assert (one.state, one.has_ended) == ("Z", False)
        assert identity.command.endswith("mark")
        assert identity.executable == os.path.realpath(sys.executable)
        assert min(memory) > 1_000_000
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert table.scan()[child.pid].has_ended
