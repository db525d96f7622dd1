"""The watchdog beside what else looks at processes: the same host, the same 1,000 of them.

Each program looks at all processes once a second, in turn, so that nobody pays for another. What it
costs is read from /proc: processor time a look, and memory (PSS) at the end.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROCESSES, LOOKS = 1000, 20
PACKAGES = (
    "curl monit prometheus-process-exporter python3-prometheus-client python3-psutil python3-yaml"
)
OURS = """
scan_interval_seconds: 1
metrics: {port: 9701}
rules: [{name: firefox, executables: [firefox, firefox-esr], memory_megabytes: 1200}]
"""
# As anybody would write it: name, parent and memory of each, and the sum over a tree.
NAIVE = """
import collections, time, psutil
while True:
    began, memory, below = time.monotonic(), {}, collections.defaultdict(list)
    for process in psutil.process_iter(["pid", "ppid", "name", "create_time", "memory_info"]):
        about = process.info
        memory[about["pid"]] = about["memory_info"].rss if about["memory_info"] else 0
        below[about["ppid"]].append(about["pid"])
        if about["name"] in ("firefox", "firefox-esr"):
            print(process.cmdline(), process.username())
    time.sleep(max(0, began + 1 - time.monotonic()))
"""
MONIT = """
set daemon 1
set pidfile /root/monit.pid
set statefile /root/monit.state
set idfile /root/monit.id
check process firefox matching 'firefox'
  if total memory > 1200 MB then alert
"""
EXPORTER = "process_names:\n  - name: '{{.Comm}}'\n    cmdline: ['.+']\n"
# As the unit has it
ENVIRONMENT = "PYTHONPATH=/root/src MALLOC_ARENA_MAX=2"
SCRAPE = "for _ in $(seq {looks}); do curl -fsS http://127.0.0.1:9256/metrics >/dev/null; done"


class Bench:
    """The host on which all of them run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, script: str, *, background: bool = False) -> str:
        """Run a script on the host; what it printed."""
        argv = ["podman", "exec", *(["--detach"] if background else []), self.name]
        done = subprocess.run(
            [*argv, "sh", "-c", script], capture_output=True, text=True, check=True, timeout=600
        )
        return done.stdout

    def put(self, name: str, text: str) -> None:
        """Write a file below /root."""
        argv = [
            "podman",
            "exec",
            "--interactive",
            self.name,
            "sh",
            "-c",
            f"umask 77; cat > /root/{name}",
        ]
        subprocess.run(argv, input=text, text=True, check=True, timeout=60)

    def processor_seconds(self, pid: int) -> float:
        """Processor time of a process so far."""
        fields = self.run(f"cat /proc/{pid}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def measure(self, pattern: str, command: str, work: Callable[[], None]) -> tuple[float, float]:
        """Milliseconds a look and MB of a program that is started, left to work, and ended."""
        self.run(f"exec {command} >/dev/null 2>&1", background=True)
        time.sleep(4)  # it has loaded, and looked once
        pid = int(self.run(f"pgrep -o -f '^{pattern}'").split()[0])
        before = self.processor_seconds(pid)
        work()
        spent = self.processor_seconds(pid) - before
        pss = self.run(f"sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/{pid}/smaps_rollup")
        self.run(f"kill -9 {pid}")
        return 1000 * spent / LOOKS, int(pss) / 1000


def measure(name: str) -> None:
    """Print a line for each program, on a host that runs."""
    bench = Bench(name)
    bench.run(
        f"apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q {PACKAGES}"
    )
    bench.run("systemctl stop monit prometheus-process-exporter")
    subprocess.run(["podman", "cp", f"{ROOT}/files/agents/src", f"{name}:/root/src"], check=True)
    for file, text in {
        "watchdog.yml": OURS, "naive.py": NAIVE, "monitrc": MONIT, "exporter.yml": EXPORTER
    }.items():  # fmt: skip
        bench.put(file, text)
    bench.run(f"for _ in $(seq {PROCESSES}); do sleep 1000 & done; wait", background=True)

    def wait() -> None:
        time.sleep(LOOKS)

    def scrape() -> None:
        bench.run(SCRAPE.format(looks=LOOKS))

    programs: dict[str, tuple[str, str, Callable[[], None]]] = {
        "lookout.watchdog": (
            "python3 -m lookout",
            f"env {ENVIRONMENT} python3 -m lookout.watchdog --config /root/watchdog.yml",
            wait,
        ),
        "psutil's loop": ("python3 /root/naive", "python3 /root/naive.py", wait),
        "monit": ("monit -I", "monit -I -c /root/monitrc", wait),
        "process-exporter": (
            "prometheus-process-exporter",
            "prometheus-process-exporter -config.path /root/exporter.yml",
            scrape,
        ),
    }
    found = {}
    for label, (pattern, command, work) in programs.items():
        found[label] = bench.measure(pattern, command, work)
    ours = found["lookout.watchdog"]
    for label, (milliseconds, megabytes) in found.items():
        print(
            f"{label}: {milliseconds:.1f} ms a look at {PROCESSES} processes"
            f" ({milliseconds / ours[0]:.1f} times ours), {megabytes:.1f} MB"
            f" ({megabytes / ours[1]:.1f} times)",
            flush=True,
        )


def host() -> str:
    """What the test bed has to build."""
    return json.dumps(
        [{"name": "bench", "suite": "bookworm", "options": ["--cap-add", "SYS_PTRACE"]}]
    )
