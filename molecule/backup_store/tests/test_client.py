"""What a host may do with its backup at the store, and what whoever broke into it may not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import connect, put, wait_for
from play import converge
from stage import (
    DAY,
    KEYS,
    MARKER,
    PASSWORDS,
    PATH,
    give_password,
    ids,
    restic,
    save,
    snapshots,
    ssh,
)
from testinfra.host import Host

HOSTS = ["client"]
PORT = 8900
READER = "/etc/lookout/reader.ssh"


@pytest.fixture(autouse=True, scope="module")
def _passwords() -> None:
    for name in ("store", "client"):
        give_password(connect(name))


def test_what_it_saves_comes_back(host: Host) -> None:
    host.check_output(
        "sh -c %s", "mkdir -p /root/data; head -c 3000000 /dev/urandom > /root/data/random"
    )
    began = float(connect("store").check_output("date +%s"))
    saved = save(host, "/root/data", "--tag part=data", began - 400 * DAY)
    # Retention goes by this: no host says when the store got something.
    came = connect("store").check_output(f"stat -c %Y {PATH}/client/snapshots/{saved}")
    assert float(came) >= began
    record = save(host, "/root/data", f"--tag record,good={saved}")
    tags = {one["id"]: one["tags"] for one in snapshots(host)}
    assert (tags[saved], tags[record]) == (["part=data"], ["record", f"good={saved}"])
    done = restic(host, f"restore {saved} --no-lock --target /root/back --verify")
    assert done.rc == 0, done.stderr
    host.check_output("cmp /root/data/random /root/back/root/data/random")
    checked = restic(host, "check --read-data --no-lock")
    assert checked.rc == 0, checked.stderr
    host.check_output("rm -r /root/back")


def test_the_store_says_what_room_there_is(host: Host) -> None:
    said = json.loads(host.check_output(f"{ssh(host)} status client"))
    assert said["mounted"] is said["repository"] is True
    assert 0 < said["free_bytes"] <= said["size_bytes"]


def test_it_takes_nothing_of_its_past_away(host: Host) -> None:
    before = ids(host)
    assert before
    # 0.14 tries for two minutes: it ends when it wants to say more than the first refusal.
    forget = "forget --keep-last 1 --group-by host 2>&1 | grep -m 1 403"
    assert restic(host, forget, prefix="timeout 120").rc == 0
    assert ids(host) == before


@pytest.fixture
def bridge(host: Host) -> Iterator[str]:
    """rclone at the store, as it answers to this host's key, with nobody's restic in between."""
    put(host, Path(__file__).parents[1] / "bridge.py")
    host.check_output(
        "sh -c %s",
        f"python3 /root/bridge.py {PORT} {ssh(host)} serve client >/dev/null 2>&1 &"
        " echo $! > /root/bridge.pid",
    )
    assert wait_for(lambda: host.run(f"ss -Hltn 'sport = :{PORT}'").stdout)
    yield f"http://127.0.0.1:{PORT}"
    host.check_output("sh -c %s", "kill $(cat /root/bridge.pid)")


def test_whatever_is_asked_nothing_that_is_stored_changes(host: Host, bridge: str) -> None:
    store = connect("store")
    files_of = f"find {PATH} -type f -not -path '*/locks/*'"
    stored = f"{files_of} -exec sha256sum {{}} +; {files_of} -printf '%T@ %p\\n'"
    before = store.check_output(stored)
    kinds = ("data", "index", "keys", "snapshots")
    files = {
        kind: re.search(rf"/client/{kind}/(?:\w\w/)?(\w{{64}})$", before, re.M) for kind in kinds
    }
    own = ["config", *(f"{kind}/{found[1]}" for kind, found in files.items() if found)]
    assert len(own) == len(kinds) + 1
    asked = [f"-X DELETE {bridge}/{path}" for path in own]
    asked += [f"--data-binary @/etc/hostname {bridge}/{path}" for path in own]
    asked += [f"-X DELETE {bridge}/", f"-X DELETE {bridge}/data/"]
    asked += [f"-X DELETE {bridge}/../store/config", f"{bridge}/../store/config"]
    asked += [f"{bridge}/..%2fstore%2fconfig", f"{bridge}/../../../etc/passwd"]
    for request in asked:
        answer = host.run(
            "curl -s -m 20 --path-as-is --http2-prior-knowledge -o /dev/null"
            f" -w '%{{http_code}}' {request}"
        )
        assert answer.stdout.startswith("4"), f"{request}: {answer.stdout}"
    # Its own locks it may take away, and what it asks for is answered at all.
    assert host.check_output(f"curl -s --http2-prior-knowledge {bridge}/config | wc -c") != "0"
    assert store.check_output(stored) == before


def test_the_key_runs_one_command(host: Host) -> None:
    other = "store"
    for asked in (
        f"serve {other}",
        f"status {other}",
        "",
        "id",
        "sh -c id",
        "serve ../client",
        f"'serve {other};'",
    ):
        refused = host.run(f"{ssh(host)} {asked} </dev/null")
        assert refused.rc == 1, asked
        assert "the store refuses" in refused.stderr, asked
        assert refused.stdout == ""
    for flags in (
        "-N -L 8999:127.0.0.1:22 -o ExitOnForwardFailure=yes",
        "-N -R 8999:127.0.0.1:22 -o ExitOnForwardFailure=yes",
    ):
        way, _, address = ssh(host).rpartition(" ")
        assert host.run(f"timeout 5 {way} {flags} {address}").rc != 0 or "-L" in flags
    assert restic(host, "snapshots --no-lock", other).rc != 0
    # By a password there is no way at all.
    shadow = connect("store").check_output("getent shadow lookout-store").split(":")[1]
    assert shadow == "*"


def test_a_host_that_tries_the_backup_of_another_one_only_reads_it(host: Host) -> None:
    store = connect("store")
    save(store, "/etc/hostname", "--tag part=etc")
    done = converge("client", playbook="reader.yml")
    assert done.returncode == 0, done.stdout
    own = host.check_output("cat /root/password")
    host.check_output(
        "sh -c %s", f"printf %s '{store.check_output('cat /root/password')}' > /root/password"
    )
    before = store.check_output(f"find {PATH}/store -type f")
    read = restic(host, "restore latest --no-lock --target /root/other", "store", READER)
    assert read.rc == 0, read.stderr
    # It would try for minutes: it ends when it wants to say more than the first refusal.
    refused = host.run(
        f"timeout 120 env RESTIC_PASSWORD_FILE=/root/password restic -o rclone.args=serve"
        f" -o rclone.program='{ssh(host, READER)}' -r rclone:store backup /etc/hostname 2>&1"
        " | grep -m 1 'Save(.*) returned error'"
    )
    assert refused.rc == 0
    assert store.check_output(f"find {PATH}/store -type f") == before
    assert restic(host, "snapshots --no-lock", "client", READER).rc != 0, "its own by that key"
    assert restic(host, "snapshots --no-lock", "store").rc != 0, "the other one by its own key"
    host.check_output("sh -c %s", f"printf %s '{own}' > /root/password; rm -r /root/other")


def test_a_store_that_is_not_there_is_a_loud_failure(host: Host) -> None:
    store = connect("store")
    store.check_output(f"mv {MARKER} /root/marker")
    try:
        refused = restic(host, "backup /etc/hostname --tag part=data")
        assert refused.rc != 0
        assert "wrong disk" in refused.stderr
        said = json.loads(host.check_output(f"{ssh(host)} status client"))
        assert said["mounted"] is False
    finally:
        store.check_output(f"mv /root/marker {MARKER}")


def test_key_and_password_are_nobody_elses(host: Host) -> None:
    key = host.file("/etc/lookout/backup.ssh/key")
    assert (key.user, key.mode) == ("root", 0o600)
    store = connect("store")
    refused = {
        "nobody": [f"ls {PATH}", f"cat {PATH}/client/config", f"ls {PASSWORDS}"],
        "lookout-store": [
            *(f"cat {PASSWORDS}/client", f"rm -f {MARKER}", f"mv {KEYS} {KEYS}.former"),
            f"dd if=/etc/hostname of={KEYS}",
        ],
    }
    for user, commands in refused.items():
        for command in commands:
            assert store.run(f"runuser -u {user} -- {command}").rc != 0, f"{user}: {command}"
    assert store.file(MARKER).exists
