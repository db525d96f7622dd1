"""The store, the drill and what is live, as the tests of this scenario need them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hosts import connect
from mutations import BOOKWORM, PARTS, SMALL_FILE, TRIXIE, Mutation
from testinfra.host import Host

UNIT = "lookout-restore_drill.service"
USER = "lookout-restore_drill"
STATE = "/var/lib/lookout/restore_drill"
SCRATCH = f"{STATE}/scratch"
PROM = "/var/lib/prometheus/node-exporter/restore_drill.prom"
REPOSITORIES, KEPT = "/backup/monitoring", "/backup/kept"

store = connect(TRIXIE)


def shell(host: Host, script: str) -> str:
    return str(host.check_output("bash -euo pipefail -c %s", script))


def restic(host: str, *arguments: str, cwd: str = "/") -> str:
    """restic on a host's repository, at the store and as its owner would see it."""
    way = f"--repo {REPOSITORIES}/{host} --password-file /etc/lookout/backup_store.passwords/{host}"
    quoted = " ".join(f"'{one}'" for one in arguments)
    return shell(store, f"cd {cwd} && restic {way} --no-cache {quoted}")


def snapshots(host: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(restic(host, "snapshots", "--json"))
    return sorted(found, key=lambda one: one["time"])


def save(host: str, folder: str, *tags: str) -> str:
    """Save a folder as a run of the host does; its snapshot."""
    tagged = [word for tag in tags for word in ("--tag", tag)]
    shown = restic(host, "backup", ".", "--json", "--host", host, *tagged, cwd=folder)
    shell(store, f"chown -R lookout-store:lookout-store {REPOSITORIES}/{host}")
    return str(json.loads(shown.splitlines()[-1])["snapshot_id"])


@dataclass(frozen=True)
class Drilled:
    """What a drill left: its exit status, and its report."""

    status: int
    report: dict[str, Any]
    seconds: float
    said: str

    def part(self, host: str, part: str) -> dict[str, Any]:
        """What it says of a part; of the host where no part was come to."""
        (of_host,) = [one for one in self.report["hosts"] if one["host"] == host]
        told = {**of_host, "part": ""}
        return next((one for one in of_host["parts"] if one["part"] == part), told)

    def why(self, host: str, part: str) -> str:
        """All that is wrong with a part, or with its host."""
        (of_host,) = [one for one in self.report["hosts"] if one["host"] == host]
        one = self.part(host, part)
        told = [*one["failures"], *one["errors"], *of_host["failures"], *of_host["errors"]]
        return "\n".join(told)


def drill(*arguments: str) -> Drilled:
    """A drill by hand."""
    started = time.monotonic()
    done = store.run(f"lookout-restore-drill {' '.join(arguments)}")
    assert done.rc in (0, 3, 4), done.stdout + done.stderr
    report = json.loads(store.check_output(f"cat {STATE}/reports/latest.json"))
    return Drilled(done.rc, report, time.monotonic() - started, done.stdout + done.stderr)


def assert_nothing_is_left() -> None:
    assert store.check_output(f"ls -A {SCRATCH}") == ""
    assert store.run(f"pgrep -u {USER}").stdout == ""
    assert shell(store, f"find /tmp /var/tmp -user {USER} -not -path '*/systemd-private-*'") == ""


def ask(host: Host, database: str, sql: str) -> str:
    """What the live database answers."""
    psql = "runuser -u postgres -- psql -XAtq"
    return str(host.check_output(f"{psql} {database} -c %s", sql))


def live(host: Host) -> dict[str, str]:
    """What must be the same before and after: data, and the servers that run."""
    units = "postgresql@*-main.service prometheus.service"
    rows = "SELECT count(*), sum(hashtext(o::text)) FROM store.orders o"
    return {
        "databases": ask(host, "postgres", "SELECT datname FROM pg_database ORDER BY 1"),
        "roles": ask(host, "postgres", "SELECT rolname FROM pg_roles ORDER BY 1"),
        "orders": ask(host, "shop", rows),
        "history": host.check_output("sha256sum /var/lib/shop/status.db"),
        "files": shell(host, "cd /etc/shop && find . -printf '%p %m %u %g\\n' | sort | sha256sum"),
        "servers": host.check_output(f"systemctl show --property=MainPID --value {units}"),
        "oldest": shell(host, "ls -d /var/lib/prometheus/metrics2/0* | head -n 1"),
    }


@dataclass(frozen=True)
class Good:
    """A good run of each host: its snapshots by part, kept beside the repositories."""

    ids: dict[str, dict[str, str]]
    # Where the small file's blob is: pack and place in it, and the index that says so
    pack: str
    at: int
    index: str

    def restore(self, *hosts: str) -> None:
        """The repositories as they were."""
        for host in hosts or (TRIXIE, BOOKWORM):
            shell(store, f"rm -rf {REPOSITORIES}/{host} && cp -a {KEPT}/{host} {REPOSITORIES}/")

    def mutate(self, mutations: list[Mutation]) -> None:
        """Save a run in which some parts are bad, of each host that has one."""
        for host in dict.fromkeys(one.host for one in mutations):
            ids = {**self.ids[host]}
            for one in (one for one in mutations if one.host == host):
                if one.script:
                    source, mutant = f"/root/good/{host}/{one.part}", "/root/mutant"
                    shell(store, f"rm -rf {mutant} && cp -a {source} {mutant}")
                    shell(store, f"cd {mutant}\n{one.script}")
                    ids[one.part] = save(host, mutant, f"part={one.part}")
                else:
                    del ids[one.part]
            self.record(host, ids.values(), PARTS)

    def record(self, host: str, good: Iterable[str], parts: Iterable[str]) -> None:
        """Save the record of a whole run."""
        shell(store, "mkdir -p /root/record && echo '{}' > /root/record/run.json")
        tags = [f"names={one}" for one in parts] + [f"good={one}" for one in good]
        save(host, "/root/record", "record", "whole", *tags)

    def drop(self, host: str, part: str) -> None:
        """Save a run of a host that has a part no more."""
        left = {name: one for name, one in self.ids[host].items() if name != part}
        self.record(host, left.values(), left)

    def damage(self, one: Mutation) -> None:
        """Change the repository itself."""
        repository = f"{REPOSITORIES}/{one.host}"
        names = {
            "repository": repository,
            "pack": f"{repository}/data/{self.pack[:2]}/{self.pack}",
            "at": str(self.at),
            "index": f"{repository}/index/{self.index}",
            "snapshot": f"{repository}/snapshots/{self.ids[one.host][one.part]}",
        }
        head = "".join(f"{name}={value}\n" for name, value in names.items())
        shell(store, f"{head}chmod -R u+w $repository\n{one.script}")


def make_good() -> Good:
    """A run of each host that saved everything, restored for whoever changes it."""
    for name in (TRIXIE, BOOKWORM):
        host = connect(name)
        # The first one begins by itself.
        running = "systemctl is-active lookout-backup.service | grep -q activating"
        shell(host, f"while {running}; do sleep 0.5; done")
        shown = host.check_output("journalctl --no-pager -n 50 -u lookout-backup.service")
        asked = "systemctl show --property=ExecMainStatus --value lookout-backup.service"
        assert host.check_output(asked) == "0", shown
    ids = {}
    shell(store, f"mkdir -p {KEPT} && rm -rf /root/good")
    for name in (TRIXIE, BOOKWORM):
        found = snapshots(name)
        record = [one for one in found if "record" in one["tags"]][-1]
        good = {tag.removeprefix("good=") for tag in record["tags"] if tag.startswith("good=")}
        ids[name] = {
            tag.removeprefix("part="): one["id"]
            for one in found
            if one["id"] in good
            for tag in one["tags"]
            if tag.startswith("part=")
        }
        assert set(PARTS) <= set(ids[name])
        for part in PARTS:
            restic(name, "restore", ids[name][part], "--target", f"/root/good/{name}/{part}")
        shell(store, f"cp -a {REPOSITORIES}/{name} {KEPT}/")
    return Good(ids, *blob(hashlib.sha256(SMALL_FILE).hexdigest()))


def blob(wanted: str) -> tuple[str, int, str]:
    """The pack of a blob, a place in the midst of it, and the index that names it."""
    for index in restic(BOOKWORM, "list", "index").split():
        for pack in json.loads(restic(BOOKWORM, "cat", "index", index))["packs"]:
            for one in pack["blobs"]:
                if one["id"] == wanted:
                    return str(pack["id"]), one["offset"] + one["length"] // 2, index
    raise AssertionError("the small file is in no index")
