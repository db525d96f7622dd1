"""Ratios side by side in one run: `make bench`, or one part: PART=site, postgresql, watchdog,
backup, forecast, edge.

1. site.yml on a fresh host against one shell script that installs the same packages.
2. An unchanged second run, in seconds and seconds a task, beside stock Ansible's.
3. An unchanged run limited to one host, in an inventory of 1 and of 20 hosts beside monitoring.
4. PostgreSQL with the settings of role postgresql against Debian's own, by pgbench on one host.
5. The watchdog against psutil's loop, monit and prometheus-process-exporter, in ms and MB.
6. Backup and restore against plain restic and `cp -a` of the same data, and what memory they take.
7. Forecasts and anomalies against naive forecasts, predict_linear, MSTL and the oracle.
8. A robot beside what it may take: memory, processor, disk, scrapes, six hours without a link.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests import bench_backup, bench_edge, bench_forecast, bench_watchdog  # noqa: E402

RUN_ID = f"bench-{os.getpid()}"
TESTBED = [sys.executable, str(ROOT / "molecule/shared/testbed.py")]
PACKAGES = (
    "ca-certificates curl iproute2 logrotate systemd-timesyncd unattended-upgrades "
    "prometheus prometheus-alertmanager prometheus-blackbox-exporter prometheus-node-exporter "
    "prometheus-node-exporter-collectors nftables openssl python3-cryptography"
)
# 600 MB of tables: more than Debian's 128 MB of shared buffers, less than a quarter of 4 GB
PGBENCH_SCALE = 40
PGBENCH_SECONDS = 20
STOCK = {"ANSIBLE_STRATEGY": "ansible.builtin.linear", "ANSIBLE_PIPELINING": "False"}


def host(name: str, **more: Any) -> dict[str, Any]:
    return {
        "ansible_connection": "podman",
        "ansible_host": f"{RUN_ID}-{name}",
        "tls_authority_passphrase": "{{ lookup('secret', 'tls_authority_passphrase') }}",
        **more,
    }


def site(
    folder: Path, groups: dict[str, Any], *arguments: str, **environment: str
) -> tuple[float, str]:
    """Run site.yml; its wall time in seconds and what it printed."""
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps(groups), encoding="utf-8")
    started = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "site.yml", *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if done.returncode != 0:
        sys.exit(f"site.yml failed:\n{done.stdout[-3000:]}")
    return seconds, done.stdout


def tasks_of(output: str) -> int:
    """Tasks that ran on a host, from the recap."""
    return sum(int(count) for count in re.findall(r" ok=(\d+) ", output))


def up(*names: str) -> None:
    options = ["--cap-add", "NET_ADMIN"]  # for the firewall
    hosts = json.dumps(
        [{"name": name, "options": options, "prometheus": name == "mon"} for name in names]
    )
    subprocess.run([*TESTBED, "up", RUN_ID], input=hosts, text=True, check=True)


def pgbench(port: int, *arguments: str) -> str:
    """Run pgbench as postgres in the database host; what it printed."""
    argv = ["podman", "exec", "--user", "postgres", "--workdir", "/", f"{RUN_ID}-db"]
    argv += ["pgbench", "--port", str(port), *arguments, "postgres"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def transactions(port: int, *kind: str) -> float:
    """Transactions a second that four clients get through."""
    load = ("--client=4", "--jobs=2", "--no-vacuum", f"--time={PGBENCH_SECONDS}")
    shown = pgbench(port, *load, *kind)
    found = re.search(r"^tps = ([0-9.]+)", shown, re.MULTILINE)
    assert found, shown
    return float(found[1])


def measure_postgresql(folder: Path) -> None:
    """Both servers have checksums; ours is given 4 GB, Debian's takes what it always takes."""
    up("mon", "db")
    groups: dict[str, Any] = {
        "monitoring": {"hosts": {"mon": host("mon")}},
        "database": {"hosts": {"db": host("db", postgresql_memory_mb=4096)}},
    }
    site(folder, groups)
    second = (
        "cd /; pg_createcluster $(ls /usr/lib/postgresql) debian --port=5433 -- --data-checksums"
        " && runuser -u postgres -- pg_ctlcluster $(ls /usr/lib/postgresql) debian start"
    )
    subprocess.run(["podman", "exec", f"{RUN_ID}-db", "sh", "-c", second], check=True, timeout=120)
    servers = {"ours": 5432, "debian": 5433}
    for port in servers.values():
        pgbench(port, "--initialize", "--quiet", f"--scale={PGBENCH_SCALE}")
    for name, kind in {"read and write": (), "read": ("--select-only",)}.items():
        found: dict[str, list[float]] = {server: [] for server in servers}
        # In turns, so that what else the machine does meets both.
        for _ in range(3):
            for server, port in servers.items():
                found[server].append(transactions(port, *kind))
        ours, debian = (statistics.median(found[server]) for server in servers)
        print(
            f"pgbench, {name}: {ours:.0f} a second, with Debian's settings {debian:.0f}, "
            f"{ours / debian:.2f} times"
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in sys.argv[1:] or PARTS:
            try:
                PARTS[part](folder)
            finally:
                subprocess.run([*TESTBED, "down", RUN_ID], check=True)


def measure_site(folder: Path) -> None:
    up("warm")  # fills the shared package cache, so that nobody pays for the download
    script = (
        "export DEBIAN_FRONTEND=noninteractive; apt-get update -q && "
        f"apt-get install -y -q --no-install-recommends {PACKAGES}"
    )
    subprocess.run(
        ["podman", "exec", f"{RUN_ID}-warm", "sh", "-c", script], check=True, capture_output=True
    )
    subprocess.run([*TESTBED, "down", RUN_ID], check=True)

    up("script", "mon", "new")
    started = time.monotonic()
    subprocess.run(
        ["podman", "exec", f"{RUN_ID}-script", "sh", "-c", script], check=True, capture_output=True
    )
    shell = time.monotonic() - started
    groups: dict[str, Any] = {"monitoring": {"hosts": {"mon": host("mon")}}}
    full, _ = site(folder, groups)
    print(
        f"fresh host: shell script {shell:.1f} s, site.yml {full:.1f} s, {full / shell:.2f} times"
    )

    again, output = site(folder, groups)
    count = tasks_of(output)
    print(f"unchanged run: {again:.1f} s, {count} tasks, {again / count:.3f} s a task")
    stock_groups = {
        "monitoring": {"hosts": {"mon": host("mon", ansible_connection="containers.podman.podman")}}
    }
    stock, output = site(folder, stock_groups, **STOCK)
    print(
        f"stock Ansible: {stock:.1f} s, {stock / tasks_of(output):.3f} s a task; "
        f"ours is {stock / again:.1f} times as fast"
    )

    one = {**groups, "application": {"hosts": {"new": host("new")}}}
    site(folder, one, "--limit", "new")
    others = {f"other{number}": host(f"other{number}") for number in range(19)}
    twenty = {**groups, "application": {"hosts": {"new": host("new"), **others}}}
    small, large = [], []
    for _ in range(5):
        small.append(site(folder, one, "--limit", "new")[0])
        large.append(site(folder, twenty, "--limit", "new")[0])
    ratio = statistics.median(large) / statistics.median(small)
    print(
        f"--limit new-host: 1 host {statistics.median(small):.1f} s, "
        f"20 hosts {statistics.median(large):.1f} s, {ratio:.2f} times"
    )


def measure_watchdog(_folder: Path) -> None:
    subprocess.run([*TESTBED, "up", RUN_ID], input=bench_watchdog.host(), text=True, check=True)
    bench_watchdog.measure(f"{RUN_ID}-bench")


def measure_backup(_folder: Path) -> None:
    subprocess.run([*TESTBED, "up", RUN_ID], input=bench_backup.host(), text=True, check=True)
    bench_backup.measure(f"{RUN_ID}-bench")


def measure_forecast(_folder: Path) -> None:
    bench_forecast.measure()


def measure_edge(folder: Path) -> None:
    up("mon", "robot")
    groups: dict[str, Any] = {
        "all": {"vars": bench_edge.SITE_VARIABLES},
        "monitoring": {"hosts": {"mon": host("mon")}},
        "gateway": {"hosts": {"mon": {}}},
        "edge": {"hosts": {"robot": host("robot", **bench_edge.VARIABLES)}},
    }
    site(folder, groups)
    bench_edge.measure(f"{RUN_ID}-robot", f"{RUN_ID}-mon")


PARTS = {
    "site": measure_site,
    "postgresql": measure_postgresql,
    "watchdog": measure_watchdog,
    "backup": measure_backup,
    "forecast": measure_forecast,
    "edge": measure_edge,
}

if __name__ == "__main__":
    main()
