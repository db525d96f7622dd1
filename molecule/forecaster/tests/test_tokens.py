"""Tokens on the host, by the playbook, and under load."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from hosts import connect, host_names, put, wait_for
from play import playbook
from stage import FILES, ask, new_token
from testinfra.host import Host

REQUESTS = 10_000
CONNECTIONS = 4


def states(host: Host, client: str) -> list[str]:
    rows = json.loads(host.check_output("lookout-token list --json"))
    return [row["state"] for row in rows if row["client"] == client]


def test_they_are_made_and_ended_by_one_word(host: Host) -> None:
    made = host.check_output("lookout-token create reader").strip()
    assert made not in host.check_output("lookout-token list")
    assert made not in host.check_output("cat /etc/lookout/forecaster.tokens/tokens.json")
    assert ask(host, "series", made)[0] == 200
    status, said = ask(host, "train", made, "-X", "POST")
    assert status == 403, said
    assert "may not train" in said["detail"]
    assert host.run("lookout-token create reader").rc == 2
    host.check_output("lookout-token revoke reader")
    assert ask(host, "series", made)[0] == 401


def test_a_rotation_brings_new_tokens_home() -> None:
    """Of both hosts in one run; of a former one, which was cut off, each has a token left."""
    hosts = {name: connect(name) for name in host_names()}
    tokens = {name: new_token(host, "robot") for name, host in hosts.items()}
    left = "/etc/lookout/forecaster.handover/robot"
    cut_off = [f"lookout-token rotate robot --output {left}", f"echo lookout_no_token > {left}"]
    for host, command in zip(hosts.values(), cut_off, strict=True):
        host.check_output(command)
    done = playbook("playbooks/rotate_tokens.yml", "-e", "rotate_tokens_client=robot")
    assert done.returncode == 0, done.stdout
    assert "robot has until 24 hours" in done.stdout
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory/secrets"
    for name, host in hosts.items():
        kept = folder / f"forecaster_token_{name}_robot"
        new = kept.read_text(encoding="ascii").strip()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert new not in done.stdout
        assert host.check_output("ls /etc/lookout/forecaster.handover") == ""
        assert ask(host, "series", tokens[name])[0] == 200
        assert ask(host, "series", new)[0] == 200
        assert states(host, "robot") == ["replaced", "valid"]


def test_no_request_fails_over_a_rotation() -> None:
    """Ten thousand of them; the former token ends half a minute after the new one is used."""
    # It takes half a minute: one release is enough.
    host = connect(host_names()[0])
    put(host, FILES / "many.py")
    former = new_token(host, "busy")
    host.check_output(f"umask 077; echo {former} > /root/token")
    host.check_output(
        f"python3 /root/many.py {REQUESTS} {CONNECTIONS} /forecaster/api/v1/models /root/token"
        " > /root/many.json 2>&1 & echo $! > /root/many.pid"
    )
    time.sleep(3)
    host.check_output("lookout-token rotate busy --output /root/token.new")
    assert host.check_output("test ! -s /root/many.json && echo busy") == "busy"
    host.check_output("mv /root/token.new /root/token")
    new = host.check_output("cat /root/token").strip()
    done = "! kill -0 $(cat /root/many.pid) 2>/dev/null"
    assert wait_for(lambda: host.run(done).rc == 0, 300)
    said = json.loads(host.check_output("cat /root/many.json"))
    print(f"{REQUESTS} requests in {said['seconds']} s: {said['answers']}")
    assert set(said["answers"]) == {f"{former[:12]} 200", f"{new[:12]} 200"}
    assert sum(said["answers"].values()) == REQUESTS
    assert wait_for(lambda: ask(host, "series", former)[0] == 401, 40)
    assert ask(host, "series", new)[0] == 200
    host.check_output("rm /root/token /root/many.json /root/many.pid")


def test_they_are_for_the_api_alone(host: Host) -> None:
    file = host.file("/etc/lookout/forecaster.tokens/tokens.json")
    assert (file.user, file.group, file.mode) == ("root", "lookout-forecaster", 0o640)
    refused = host.run(
        "runuser -u lookout-forecaster -- touch /etc/lookout/forecaster.tokens/other"
    )
    assert refused.rc != 0
