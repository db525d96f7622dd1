"""Our backup beside plain restic and `cp -a`: the same data, the same host, in one run.

Ours copies the data first, describes it, and sends it by ssh to rclone, which can only add; its
restore fetches, compares with what was described, and exchanges the live data. Plain restic reads
where the data lies and writes beside it. `cp -a` is the least that any copy takes. They are asked
in turn, with the data in the page cache, and end with what they wrote on the disk.

This file runs twice: on the control node, where it builds the host, and on the host itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "openssh-client openssh-server python3-prometheus-client python3-psutil python3-sentry-sdk "
    "python3-yaml rclone restic"
)
ROUNDS = 2
SMALL_FILES, SMALL_BYTES = 3000, 6_000
BIG_FILES, BIG_BYTES = 3, 32_000_000
ROWS = 100_000
CHANGED_FILES = 30

WORK = Path("/srv/bench")
DATA, BASE, STORE = WORK / "data", WORK / "base.db", WORK / "store"
CREDENTIALS = WORK / "credentials"
PASSWORD = CREDENTIALS / "password_bench"
OURS, RESTIC, COPY = "ours", "plain restic", "cp -a"
BACKUP, AGAIN, RESTORE, TINY = "backup", "little changed", "restore", "one small file"
WORDS = [b"host", b"part", b"backup", b"snapshot", b"prometheus", b"series", b"value"]


def measure(name: str) -> None:
    """Print the figures of a host that runs; on the control node."""
    script = f"apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q {PACKAGES}"
    inside = ["podman", "exec", name]
    subprocess.run([*inside, "sh", "-c", script], check=True, capture_output=True, timeout=600)
    for source, target in (("files/agents/src", "src"), ("tests/bench_backup.py", "bench.py")):
        copy = ["podman", "cp", f"{ROOT / source}", f"{name}:/root/{target}"]
        subprocess.run(copy, check=True, timeout=60)
    subprocess.run([*inside, "python3", "/root/bench.py"], check=True, timeout=600)


def host() -> str:
    """What the test bed has to build: the repositories have a file system of their own."""
    return json.dumps([{"name": "bench", "options": ["--volume", str(STORE)]}])


# --- on the host ---


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    """Run a command that has to end well; what it printed."""
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, "RESTIC_PASSWORD_FILE": str(PASSWORD), "PYTHONPATH": "/root/src"}
        | {"CREDENTIALS_DIRECTORY": str(CREDENTIALS), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-3000:]
        sys.exit(f"{' '.join(map(str, argv[:5]))} ended with {done.returncode}:\n{said}")
    return done.stdout


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes until what it wrote is on the disk."""
    os.sync()
    started = time.monotonic()
    work()
    os.sync()
    return time.monotonic() - started


def make_data(chance: random.Random) -> None:
    """Files as services have them: half of each can be packed, and half cannot."""
    for number in range(SMALL_FILES + BIG_FILES):
        size = SMALL_BYTES if number < SMALL_FILES else BIG_BYTES
        write(DATA / f"{number % 50:02}" / f"{number}.dat", size, chance)
    with contextlib.closing(sqlite3.connect(BASE)) as base, base:
        base.execute("CREATE TABLE task (id INTEGER PRIMARY KEY, said TEXT)")
        rows = ((f"{chance.random()} {chance.choice(WORDS).decode()} " * 4,) for _ in range(ROWS))
        base.executemany("INSERT INTO task (said) VALUES (?)", rows)


def write(file: Path, size: int, chance: random.Random) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = b" ".join(chance.choices(WORDS, k=200))
    file.write_bytes(
        chance.randbytes(size // 2) + (text * (size // 2 // len(text) + 1))[: size // 2]
    )


def change(chance: random.Random) -> None:
    """As a day would: some small files, some rows."""
    for number in chance.sample(range(SMALL_FILES), CHANGED_FILES):
        write(DATA / f"{number % 50:02}" / f"{number}.dat", SMALL_BYTES, chance)
    with contextlib.closing(sqlite3.connect(BASE)) as base, base:
        base.execute("UPDATE task SET said = said || '!' WHERE id % 1000 = 0")


# --- cp -a, and plain restic on a local path ---


def copy(target: Path) -> None:
    target.mkdir()
    run("cp", "-a", DATA, BASE, target)


def restic(*arguments: str | Path, cwd: Path | None = None) -> None:
    run("restic", "--repo", WORK / "plain", "--no-cache", *arguments, cwd=cwd)


# --- ours ---


def make_store() -> None:
    """A store of one host, as role backup_store makes it, and the way there."""
    python = "env PYTHONPATH=/root/src python3 -m lookout.backup"
    run("useradd", "--system", "--home-dir", WORK / "home", "--create-home", "lookout-store")
    run("chmod", "711", WORK, "/root")
    config = WORK / "store.json"
    config.write_text(
        json.dumps(
            {
                "path": str(STORE),
                "mount": str(STORE),
                "identity": "bench",
                "metrics_file": str(WORK / "store.prom"),
                "state_file": str(WORK / "store.state"),
            }
        ),
        encoding="utf-8",
    )
    (STORE / ".lookout-store").write_text("bench", encoding="ascii")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", CREDENTIALS / "ssh_key")
    public = (CREDENTIALS / "ssh_key.pub").read_text(encoding="ascii")
    keys = WORK / "home/.ssh/authorized_keys"
    keys.parent.mkdir()
    command = f"{python}.serve --config {config} --host bench"
    keys.write_text(f'restrict,command="{command}" {public}', encoding="ascii")
    run("chown", "-R", "lookout-store:", WORK / "home", STORE)
    run("systemctl", "start", "ssh")
    of_host = Path("/etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="ascii")
    (WORK / "known_hosts").write_text(f"127.0.0.1 {of_host}", encoding="ascii")


def make_agent() -> None:
    """The configuration of the host that is saved, as roles agent and backup write it."""
    for name in ("parts", "stage", "cache", "lock"):
        (WORK / name).mkdir()
    part = {
        "name": "bench",
        "paths": [str(DATA)],
        "sqlite": [{"database": str(BASE), "user": "root", "tables": ["task"]}],
    }
    (WORK / "parts/bench.yml").write_text(json.dumps(part), encoding="utf-8")
    tiny = {"name": "tiny", "paths": [str(WORK / "known_hosts")]}
    (WORK / "parts/tiny.yml").write_text(json.dumps(tiny), encoding="utf-8")
    config = {
        "instance": "bench",
        "store": {
            "address": "127.0.0.1",
            "user": "lookout-store",
            "known_hosts": str(WORK / "known_hosts"),
        },
        "cache_dir": str(WORK / "cache"),
        "parts_dir": str(WORK / "parts"),
        "stage_dir": str(WORK / "stage"),
        "state_file": str(WORK / "state.json"),
        "lock_file": str(WORK / "lock/lock"),
        "metrics_file": str(WORK / "backup.prom"),
    }
    (WORK / "backup.json").write_text(json.dumps(config), encoding="utf-8")


def ours(*arguments: str) -> None:
    program, *rest = arguments
    run("python3", "-m", f"lookout.backup.{program}", "--config", WORK / "backup.json", *rest)


# --- the rounds ---


def one_round(chance: random.Random) -> dict[tuple[str, str], float]:
    """Seconds by what is done and who does it, each from an empty repository."""
    for folder in ("store/bench", "plain", "copy", "copy2", "back", "aside", "cache"):
        shutil.rmtree(WORK / folder, ignore_errors=True)
    (WORK / "cache").mkdir()
    restic("init")
    run("restic", "--repo", STORE / "bench", "init")
    run("chown", "-R", "lookout-store:", STORE)
    found = {}
    for what, target in ((BACKUP, "copy"), (AGAIN, "copy2")):
        if what == AGAIN:
            change(chance)
        found[what, COPY] = seconds(lambda: copy(WORK / target))  # noqa: B023
        found[what, RESTIC] = seconds(lambda: restic("backup", DATA, BASE))
        found[what, OURS] = seconds(lambda: ours("run", "--part", "bench"))
    back = WORK / "back"
    found[RESTORE, COPY] = seconds(lambda: run("cp", "-a", WORK / "copy2", back))
    shutil.rmtree(back)
    found[RESTORE, RESTIC] = seconds(lambda: restic("restore", "latest", "--target", back))
    shutil.rmtree(back)
    found[RESTORE, OURS] = seconds(lambda: ours("restore", "latest", "bench", "--yes"))
    # What each run costs whatever it saves: connections, keys that are derived, the record
    small = WORK / "known_hosts"
    found[TINY, COPY] = seconds(lambda: run("cp", "-a", small, WORK / "copy"))
    found[TINY, RESTIC] = seconds(lambda: restic("backup", small))
    found[TINY, OURS] = seconds(lambda: ours("run", "--part", "tiny"))
    return found


@contextlib.contextmanager
def watched(peaks: dict[str, int]) -> Iterator[None]:
    """Note the highest PSS of restic and rclone in kB while the body runs."""
    done = Event()

    def look() -> None:
        while not done.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, StopIteration):
                    name = (process / "comm").read_text().strip()
                    if name in ("restic", "rclone"):
                        text = (process / "smaps_rollup").read_text()
                        line = next(row for row in text.splitlines() if row.startswith("Pss:"))
                        peaks[name] = max(peaks.get(name, 0), int(line.split()[1]))

    thread = Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def memory() -> None:
    """The garbage collector of both programs, eager (GOGC=25, as ours have it) and as it is."""
    way = ["-o", "rclone.args=serve restic --stdio --append-only"]
    for garbage in ("25", "100"):
        repository = WORK / f"memory{garbage}"
        run("restic", "--repo", repository, "init")
        argv = ["env", f"GOGC={garbage}", "restic", *way, "--repo", f"rclone:{repository}"]
        peaks: dict[str, int] = {}
        with watched(peaks):
            took = seconds(lambda: run(*argv, "--no-cache", "backup", DATA, BASE))  # noqa: B023
        print(
            f"GOGC={garbage}: restic {peaks['restic'] / 1000:.0f} MB, "
            f"rclone {peaks['rclone'] / 1000:.0f} MB at the most, {took:.1f} s",
            flush=True,
        )


def main() -> None:
    # The same data in every run
    chance = random.Random(7)  # noqa: S311
    CREDENTIALS.mkdir(parents=True, mode=0o700)
    PASSWORD.write_text(secrets.token_hex(16), encoding="ascii")
    make_data(chance)
    make_store()
    make_agent()
    size = sum(file.stat().st_size for file in [BASE, *DATA.rglob("*.dat")])
    print(f"{size / 1e6:.0f} MB in {SMALL_FILES + BIG_FILES} files and a database of SQLite")
    print(run("restic", "version").split(" compiled")[0])
    rounds = [one_round(chance) for _ in range(ROUNDS)]
    for what in (BACKUP, AGAIN, RESTORE, TINY):
        took = {
            who: statistics.median(one[what, who] for one in rounds) for who in (OURS, RESTIC, COPY)
        }
        print(
            f"{what}: ours {took[OURS]:.1f} s, plain restic {took[RESTIC]:.1f} s "
            f"({took[OURS] / took[RESTIC]:.2f} times), cp -a {took[COPY]:.1f} s "
            f"({took[OURS] / took[COPY]:.1f} times)",
            flush=True,
        )
    memory()


if __name__ == "__main__":
    main()
