"""Ending real processes: all of a tree, nobody else, whatever they do about it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from watchdog_stage import rule

from lookout.watchdog import killer as module
from lookout.watchdog.decide import Action, Watched
from lookout.watchdog.details import Identity, read_identity
from lookout.watchdog.killer import Killer
from lookout.watchdog.processes import Process, ProcessTable
from lookout.watchdog.tree import Tree

SLEEPER = "import time; time.sleep(60)"
# Becomes the sleeper of a tree: it starts two more of its kind.
PARENT = f"""
import subprocess, sys, time
children = [subprocess.Popen([sys.executable, "-c", {SLEEPER!r}]) for _ in range(2)]
print("ready", flush=True); time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True); time.sleep(60)
"""
# Each generation forks the next one and ends; the first one leads a session of its own.
STORM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
ends = time.monotonic() + 30
while time.monotonic() < ends:
    if os.fork() == 0:
        for _ in range(3):
            if os.fork():
                os._exit(0)
        time.sleep(0.01)
        os._exit(0)
    time.sleep(0.002)
"""
# Another run of these tests may be on this machine.
MARK = f"lookout-test-of-the-killer-{os.getpid()}"


@dataclass
class Bench:
    """A killer, with what it said."""

    grace_seconds: float = 0.3
    per_minute: int = 100
    protected: tuple[str, ...] = ()
    own_group: str = ""
    refused: Counter[str] = field(default_factory=Counter)
    table: ProcessTable = field(default_factory=ProcessTable)

    def __post_init__(self) -> None:
        self.killer = Killer(self.look, self._note, self.per_minute, self.protected, self.own_group)

    def look(self) -> Tree:
        return Tree(self.table.scan())

    def _note(self, reason: str, _process: Process) -> None:
        self.refused[reason] += 1

    def begin(self, pid: int, identity: Identity | None = None, start: int | None = None) -> bool:
        tree = self.look()
        root = tree.processes[pid]
        if start is not None:
            root = replace(root, start=start)
            tree.processes = {**tree.processes, pid: root}
        watched = Watched(
            rule=rule(grace_seconds=self.grace_seconds),
            root=root.key,
            name=root.name,
            since=0,
            resident_bytes=0,
            members=tuple(member.key for member in tree.members([root.key])),
        )
        action = Action(watched, "memory", "")
        return self.killer.begin(action, tree, identity or read_identity(pid), time.monotonic())

    def finish(self, seconds: float = 5) -> float:
        """Go on until all is ended; how long that took."""
        began = time.monotonic()
        while self.killer.endings and time.monotonic() - began < seconds:
            self.killer.advance(time.monotonic())
            time.sleep(0.02)
        assert not self.killer.endings
        return time.monotonic() - began


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.table.close()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program, waits until it says so, and ends it after the test."""
    started = []

    def start(text: str, wait: bool = True, new_session: bool = False) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", text, MARK],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=new_session,
        )
        started.append(child)
        if wait:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def pidfds() -> list[str]:
    """Descriptors of processes that are open here."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(entry.readlink()))
    return [link for link in links if "pidfd" in link]


def marked() -> list[int]:
    """Processes that the tests here started and that live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, stat = (folder / "cmdline").read_bytes(), (folder / "stat").read_text()
        except OSError:
            continue
        if MARK.encode() in command and stat.rpartition(")")[2].split()[0] not in "ZX":
            found.append(int(folder.name))
    return found


def test_a_tree_ends_when_it_is_asked_and_nobody_else(bench: Bench, start: Start) -> None:
    other = start(PARENT)
    victim = start(PARENT)
    children = [one.pid for one in bench.look().members([(victim.pid, _start(victim.pid))])]
    assert len(children) == 3
    assert bench.begin(victim.pid)
    assert bench.finish() < 0.3 + 0.5
    assert victim.wait(1) == -signal.SIGTERM
    assert other.poll() is None
    assert len(bench.look().members([(other.pid, _start(other.pid))])) == 3
    assert bench.refused == {}


def _start(pid: int) -> int:
    return ProcessTable().scan()[pid].start


def test_one_that_ignores_sigterm_is_killed_after_the_grace(bench: Bench, start: Start) -> None:
    victim = start(STUBBORN)
    assert bench.begin(victim.pid)
    assert 0.3 <= bench.finish() < 0.3 + 0.5
    assert victim.wait(1) == -signal.SIGKILL


def test_one_that_is_stopped_is_killed(bench: Bench, start: Start) -> None:
    victim = start(PARENT)
    os.kill(victim.pid, signal.SIGSTOP)
    # Until it has stopped, what asks it to end would come first.
    os.waitid(os.P_PID, victim.pid, os.WSTOPPED | os.WNOWAIT)
    assert bench.begin(victim.pid)
    bench.finish()
    assert victim.wait(1) == -signal.SIGKILL


def test_nothing_of_a_storm_is_left(bench: Bench, start: Start) -> None:
    """In a session of its own: those whose parent has ended are its members all the same."""
    victim = start(STORM, new_session=True)
    assert bench.begin(victim.pid)
    time.sleep(0.3)
    bench.finish()
    victim.wait(1)
    assert [pid for pid in marked() if pid != os.getpid()] == []


def test_a_child_that_survives_its_parent_is_ended_too(bench: Bench, start: Start) -> None:
    victim = start(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}, {MARK!r}])\n"
        "time.sleep(60)"
    )
    assert bench.begin(victim.pid)
    bench.finish()
    assert victim.wait(1) == -signal.SIGTERM
    assert marked() == []


def test_the_descriptors_are_closed_again(bench: Bench, start: Start) -> None:
    victim = start(PARENT)
    assert bench.begin(victim.pid)
    assert len(pidfds()) == 3
    bench.finish()
    assert pidfds() == []
    assert not bench.begin(os.getppid(), replace(read_identity(os.getppid()), user=77))
    assert pidfds() == []
    victim.wait(1)


# --- who is let live ---


def test_the_successor_in_a_number_is_let_live(bench: Bench, start: Start) -> None:
    other = start(SLEEPER, wait=False)
    assert not bench.begin(other.pid, start=_start(other.pid) - 1)
    assert bench.refused == {"another_process": 1}
    assert other.poll() is None


@pytest.mark.parametrize("what", ["executable", "user"])
def test_one_that_is_something_else_by_now_is_let_live(
    bench: Bench, start: Start, what: str
) -> None:
    other = start(SLEEPER, wait=False)
    known = read_identity(other.pid)
    was = {"executable": replace(known, executable="/bin/x"), "user": replace(known, user=77)}
    assert not bench.begin(other.pid, was[what])
    assert bench.refused == {"changed": 1}
    assert other.poll() is None


def test_the_first_process_and_the_watchdog_are_let_live(bench: Bench) -> None:
    assert not bench.begin(1)
    assert not bench.begin(os.getpid())
    assert bench.refused == {"first_process": 1, "watchdog": 1}


def test_its_own_group_is_let_live(start: Start) -> None:
    bench = Bench(own_group="/system.slice/some.service")
    other = start(SLEEPER, wait=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "control_group", lambda _pid: "/system.slice/some.service")
        assert not bench.begin(other.pid)
    assert bench.refused == {"watchdog": 1}
    assert other.poll() is None


def test_a_kernel_thread_is_let_live(bench: Bench) -> None:
    tree = bench.look()
    thread = replace(tree.processes[os.getpid()], pid=2, is_kernel=True)
    action = Action(Watched(rule(), thread.key, "kthreadd", 0, 0), "memory", "")
    assert not bench.killer.begin(action, Tree({2: thread}), Identity("", "", 0), 0)
    assert bench.refused == {"kernel_thread": 1}


def test_protected_programs_are_let_live_the_rest_of_their_tree_is_not(start: Start) -> None:
    sleep = Path("/bin/sleep").resolve().name
    bench = Bench(protected=(sleep,))
    victim = start(
        "import subprocess, time\nchild = subprocess.Popen(['/bin/sleep', '20'])\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    (child,) = [p for p in bench.look().processes.values() if p.parent == victim.pid]
    assert bench.begin(victim.pid)
    bench.finish()
    assert victim.wait(1) == -signal.SIGTERM
    assert bench.refused == {"protected": 1}
    os.kill(child.pid, 0)
    os.kill(child.pid, signal.SIGKILL)
    other = subprocess.Popen(["/bin/sleep", "20"])
    assert not bench.begin(other.pid)
    assert other.poll() is None
    other.kill()
    other.wait()


def test_more_than_the_limit_a_minute_are_let_live(start: Start) -> None:
    bench = Bench(per_minute=1)
    first, second = start(SLEEPER, wait=False), start(SLEEPER, wait=False)
    assert bench.begin(first.pid)
    assert not bench.begin(second.pid)
    assert bench.refused == {"rate": 1}
    assert bench.killer.begun(time.monotonic()) == {os.getuid(): 1}
    bench.finish()
    first.wait(1)
    assert second.poll() is None
    at, user = bench.killer._begun[0]
    bench.killer._begun[0] = at - module.RATE_WINDOW_SECONDS, user
    assert bench.begin(second.pid)
    bench.finish()
    second.wait(1)


def test_one_that_does_not_die_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """As in the kernel's uninterruptible sleep: no signal arrives."""
    victim = start(SLEEPER, wait=False)
    monkeypatch.setattr(module, "_send", lambda *_: None)
    assert bench.begin(victim.pid)
    (ending,) = bench.killer.endings.values()
    now = ending.deadline
    for later, undying in ((0, False), (4, False), (6, True)):
        assert bench.killer.advance(now + later) == []
        assert ending.undying is undying
    victim.kill()
    victim.wait()
    assert bench.killer.advance(now + 7) == [ending]


# --- without descriptors ---


def test_a_tree_with_more_processes_than_descriptors_ends_part_by_part(
    bench: Bench, start: Start
) -> None:
    victim = start(PARENT.replace(SLEEPER, SLEEPER + f"  # {MARK}").replace("(2)", "(20)"))
    time.sleep(0.2)
    assert len(marked()) == 21
    bench.killer.most_descriptors = 4
    assert bench.begin(victim.pid)
    most = 0
    ends = time.monotonic() + 20
    while bench.killer.endings and time.monotonic() < ends:
        bench.killer.advance(time.monotonic())
        most = max(most, len(pidfds()))
        time.sleep(0.02)
    assert marked() == []
    assert most <= 4
    victim.wait(1)


def test_without_any_descriptor_nobody_stays_stopped(
    bench: Bench, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child that no look found is ended once there are descriptors again."""
    victim = start(PARENT)
    (root,) = (one for one in bench.look().processes.values() if one.pid == victim.pid)
    bench.grace_seconds = 0

    def lacking(*_: object) -> Identity:
        raise OSError(errno.EMFILE, "Too many open files")

    identity = read_identity(victim.pid)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_send", lambda *_: None)
        assert bench.begin(victim.pid, identity)
    with monkeypatch.context() as patch:
        patch.setattr(bench.killer, "_scan", lacking)
        bench.killer.advance(time.monotonic())
        assert victim.wait(2) == -signal.SIGKILL
        bench.killer.advance(time.monotonic())
        assert bench.killer.endings.keys() == {root.key}, "there may be more of it"
        assert _stopped() == []
    bench.finish()
    assert marked() == []
    assert pidfds() == []


def test_members_that_cannot_be_read_are_next(
    bench: Bench, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = start(PARENT)
    identity, reads = read_identity(victim.pid), []

    def lacking(pid: int) -> Identity:
        reads.append(pid)
        if pid != victim.pid and len(reads) < 12:
            raise OSError(errno.EMFILE, "Too many open files")
        return read_identity(pid)

    monkeypatch.setattr(module, "read_identity", lacking)
    assert bench.begin(victim.pid, identity)
    bench.finish()
    assert len(reads) > 12
    assert marked() == []


def _stopped() -> list[int]:
    table = ProcessTable()
    states = {pid: one.state for pid, one in table.scan().items()}
    table.close()
    return [pid for pid in marked() if states.get(pid) == "T"]


def test_one_without_its_first_thread_is_ended(bench: Bench, start: Start) -> None:
    victim = start(
        "import ctypes, platform, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('ready', flush=True)\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60}.get(platform.machine(), 93), 0)\n"
    )
    while bench.look().processes[victim.pid].state != "Z":
        time.sleep(0.02)
    assert victim.poll() is None
    assert bench.begin(victim.pid)
    bench.finish()
    assert victim.wait(1) == -signal.SIGTERM
