"""Run the steps of `make test`, four at a time, and say at the end how each one went.

Two times are shown of each: how long it took, and how much of a processor it and its hosts took.
The second one hardly depends on what runs beside it.

A step is a target of the Makefile, or `scenario:<name>` for `molecule test -s <name>`. Each step
writes a log of its own to .cache/logs; the end of a failed one is shown. Ctrl-C ends the running
steps and removes their hosts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import testbed

LOGS = testbed.CACHE / "logs"
# Two scenarios keep two cores busy; two more fill the minutes in which one waits for an alert.
SIDE_BY_SIDE = int(os.environ.get("LOOKOUT_JOBS", "4"))
TAIL_LINES = 60


@dataclass(frozen=True)
class Step:
    """One row of the summary."""

    name: str
    seconds: float
    cpu_seconds: float
    status: int


def command(step: str) -> list[str]:
    kind, _, scenario = step.partition(":")
    return ["molecule", "test", "-s", scenario] if kind == "scenario" else ["make", kind]


class Runner:
    """Runs steps side by side; every process it started ends with it."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, name: str) -> Step:
        started = time.monotonic()
        if self.stopped:
            return Step(name, 0.0, 0.0, -1)
        log = LOGS / f"{name.replace(':', '-')}.log"
        hosts_took = log.with_suffix(".cpu")
        hosts_took.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "LOOKOUT_RUN": self.run_id,
            "LOOKOUT_CPU_FILE": str(hosts_took),
            "NO_COLOR": "1",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(name),
                cwd=testbed.ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.processes.add(process)
            _, waited, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(waited)
            self.processes.discard(process)
        cpu = usage.ru_utime + usage.ru_stime + sum_of(hosts_took)
        return Step(name, time.monotonic() - started, cpu, process.returncode)

    def stop(self) -> None:
        """End what runs; each step leads a session of its own, so nothing else is hit."""
        self.stopped = True
        for process in list(self.processes):
            os.killpg(process.pid, signal.SIGTERM)

    def clean_up(self) -> None:
        """Remove the hosts that this run left behind, whatever ended it."""
        networks = testbed.podman("network", "ls", "--format", "{{.Name}}").stdout.split()
        for network in networks:
            if network.startswith(f"{self.run_id}-"):
                testbed.down(network)


def sum_of(file: Path) -> float:
    """What `testbed.down` wrote of hosts, in seconds of a processor."""
    try:
        return sum(float(line) for line in file.read_text(encoding="ascii").split())
    except FileNotFoundError:
        return 0.0


def show_tail(name: str) -> None:
    log = LOGS / f"{name.replace(':', '-')}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    print(f"--- the end of {log}")
    print("\n".join(lines[-TAIL_LINES:]))
    print("---", flush=True)


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    runner = Runner(f"test-{os.getpid()}")
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    finished: list[Step] = []
    started = time.monotonic()
    try:
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            pending = [pool.submit(runner.run, name) for name in sys.argv[1:]]
            print(f"{len(pending)} steps, {SIDE_BY_SIDE} at a time; logs in {LOGS}", flush=True)
            try:
                for done in as_completed(pending):
                    step = done.result()
                    finished.append(step)
                    word = "passed" if step.status == 0 else "FAILED"
                    print(
                        f"{word}  {step.name}  {step.seconds:.0f} s  "
                        f"({len(finished)} of {len(pending)})",
                        flush=True,
                    )
                    if step.status > 0:
                        show_tail(step.name)
            except KeyboardInterrupt:
                print("interrupted: ending the running steps", flush=True)
                runner.stop()
    finally:
        runner.clean_up()
    print(f"\n{'step':<32}{'result':<10}{'seconds':>8}{'of a cpu':>10}")
    for step in finished:
        word = "passed" if step.status == 0 else "FAILED"
        print(f"{step.name:<32}{word:<10}{step.seconds:>8.0f}{step.cpu_seconds:>10.0f}")
    failed = len(sys.argv) - 1 - sum(step.status == 0 for step in finished)
    took = sum(step.cpu_seconds for step in finished)
    print(f"{'all':<32}{'':<10}{time.monotonic() - started:>8.0f}{took:>10.0f}")
    print(f"{len(finished) - sum(s.status != 0 for s in finished)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
