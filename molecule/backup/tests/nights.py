"""Backups on the hosts of the scenario, and what they leave."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import yaml
from hosts import CURL, wait_for
from testinfra.host import Host

UNIT = "lookout-backup.service"
PROM = "/var/lib/prometheus/node-exporter/backup.prom"
CONFIG = "/etc/lookout/backup/backup.yml"
STAGE = "/var/lib/lookout/backup/stage"
PARTS = {
    *("alertmanager", "certbot", "configuration", "grafana", "models"),
    *("postgresql", "prometheus", "status_page"),
}
PYTHON = "/opt/lookout/backup/current/bin/python"
# Longer than a backup takes on a busy machine
SECONDS = 240


def begin(host: Host) -> None:
    """Start a backup, as the timer does."""
    host.run(f"systemctl reset-failed {UNIT}")
    host.check_output(f"systemctl start --no-block {UNIT}")


def end(host: Host) -> int:
    """Wait for it; its exit status."""
    show = f"systemctl show --property=ActiveState --value {UNIT}"
    state = wait_for(lambda: host.check_output(show) in ("inactive", "failed"), SECONDS)
    assert state, "the backup takes too long"
    return int(host.check_output(f"systemctl show --property=ExecMainStatus --value {UNIT}"))


def journal(host: Host, lines: int = 40) -> str:
    return str(host.check_output(f"journalctl --no-pager -o cat -u {UNIT} -n {lines}"))


def metrics(host: Host, file: str = PROM) -> dict[str, float]:
    shown = host.check_output(f"cat {file}")
    return {found[1]: float(found[2]) for found in re.finditer(r"^([^# ].*) (\S+)$", shown, re.M)}


def failed(shown: dict[str, float]) -> set[str]:
    """The parts that the metrics say were not saved."""
    codes = (
        (re.search(r'part_exit_code\{part="(.*)"\}', name), value) for name, value in shown.items()
    )
    return {found[1] for found, value in codes if found and value}


@dataclass(frozen=True)
class Fault:
    """What a run of another configuration said."""

    status: int
    said: str
    failed: set[str]
    seconds: float


class Trial:
    """Backups beside those of the host, with a few parts, to the same repository."""

    folder = "/root/trial"

    def __init__(self, host: Host) -> None:
        self.host = host
        live = yaml.safe_load(host.check_output(f"cat {CONFIG}"))
        self.config = {
            **live,
            "parts_dir": f"{self.folder}/parts",
            "stage_dir": f"{self.folder}/stage",
            "state_file": f"{self.folder}/state.json",
            "lock_file": f"{self.folder}/lock",
            "metrics_file": f"{self.folder}/backup.prom",
            "retry_seconds": [1],
            "log": {"level": "INFO"},
        }
        host.check_output(f"rm -rf {self.folder}")
        host.check_output(f"mkdir -p {self.folder}/parts {self.folder}/data")

    def part(self, name: str, **keys: Any) -> None:
        self.write(f"parts/{name}.yml", yaml.safe_dump({"name": name, **keys}))

    def data(self, name: str) -> str:
        """A part with one file; its path."""
        path = f"{self.folder}/data/{name}"
        self.host.check_output("sh -c %s", f"head -c 100000 /dev/urandom > {path}")
        self.part(name, paths=[path])
        return path

    def write(self, name: str, text: str) -> None:
        self.host.check_output("sh -c %s", f"cat > {self.folder}/{name} <<'.'\n{text}.\n")

    def run(self, before: str = "", **changed: Any) -> Fault:
        """One backup. `before` is a command that the program is the argument of."""
        self.write("backup.yml", yaml.safe_dump({**self.config, **changed}))
        started = time.monotonic()
        done = self.host.run(
            f"{before} {PYTHON} -m lookout.backup.run --config {self.folder}/backup.yml"
        )
        seconds = time.monotonic() - started
        file = f"{self.folder}/backup.prom"
        shown = metrics(self.host, file) if self.host.file(file).exists else {}
        return Fault(done.rc, done.stderr, failed(shown), seconds)


def ask(host: Host, query: str) -> list[Any]:
    """What Prometheus says."""
    url = "https://127.0.0.1:9090/api/v1/query"
    shown = host.check_output(f"{CURL} --get --data-urlencode %s {url}", f"query={query}")
    return list(json.loads(shown)["data"]["result"])


def repository_is_whole(store: Host, name: str) -> None:
    """Read all of a repository, as the store may."""
    store.check_output(
        "install -o lookout-store -m 0400"
        f" /etc/lookout/backup_store.passwords/{name} /run/password_{name}"
    )
    checked = store.run(
        f"runuser -u lookout-store -- restic --repo /backup/monitoring/{name} --no-cache check"
        f" --no-lock --read-data --password-file /run/password_{name}"
    )
    assert checked.rc == 0, checked.stdout + checked.stderr
