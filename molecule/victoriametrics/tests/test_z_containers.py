"""The container variant: the same units and data, with images in the place of programs.

No registry is asked: the images are made of the package's own programs.
"""

from __future__ import annotations

import json

import pytest
from hosts import connect, wait_for
from play import converge
from test_victoriametrics import AGENT, FORWARDER, LOCAL, UNIT, ask, now, number
from testinfra.host import Host
from units import main_pid

NAMES = {UNIT: "victoria-metrics", AGENT: "victoria-metrics-agent"}
PROGRAMS = {UNIT: "/usr/bin/victoria-metrics", AGENT: "/usr/bin/vmagent"}
IMAGES = {
    "victoriametrics_image": "localhost/victoria-metrics:test",
    "victoriametrics_agent_image": "localhost/vmagent:test",
}
OF_UNITS = dict(zip(NAMES, IMAGES.values(), strict=True))
# The host is itself a container, whose kernel and rights are not those of a robot.
SETTINGS = {
    "containers": "[containers]\npids_limit = 0\ndefault_sysctls = []\n"
    'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nruntime = "runc"\n',
    "storage": '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\n'
    'graphroot = "/var/lib/containers/storage"\n',
}


@pytest.fixture(scope="module")
def robot() -> Host:
    """A robot with podman and the images."""
    host = connect("trixie")
    host.check_output("apt-get install -qq --yes --no-install-recommends podman runc")
    for name, text in SETTINGS.items():
        host.check_output("sh -c %s", f"printf %s '{text}' > /etc/containers/{name}.conf")
    for unit in NAMES:
        podman_import(host, unit)
    return host


def podman_import(host: Host, unit: str) -> None:
    """Make an image of a program, named as in the project's, and what it is linked to."""
    program, image = PROGRAMS[unit], OF_UNITS[unit]
    linked = f"$(ldd {program} | grep -o '/[^ ]*')"
    renamed = f"--transform 's,/{program.rpartition('/')[2]}$,&-prod,'"
    packed = f"tar --create --dereference {renamed} --file=/root/image.tar {program} {linked}"
    entry = f"--change 'ENTRYPOINT [\"{program}-prod\"]'"
    host.check_output(f"{packed} && podman import {entry} /root/image.tar {image}")


def process(host: Host, unit: str) -> int:
    """The program in the container of a unit."""
    shown = f"podman inspect --format '{{{{.State.Pid}}}}' {NAMES[unit]}"
    return int(host.check_output(shown))


def stored(host: Host) -> float:
    return number(host, LOCAL, "count(last_over_time(kept[1h]))")


def goes_on(host: Host) -> None:
    """Fail unless samples come in from now on."""
    later = now(host)
    # Without the half minute that an answer keeps from the newest samples
    newest = """'timestamp(up{job="robot_only"})' --data latency_offset=1s"""
    ask_it = f"curl -fsS {LOCAL}/api/v1/query --data-urlencode query={newest}"

    def goes() -> bool:
        found = json.loads(host.check_output(ask_it))["data"]["result"]
        return bool(found) and float(found[0]["value"][1]) > later

    assert wait_for(goes, 60)


def test_an_image_that_cannot_be_had_changes_nothing(robot: Host) -> None:
    before = {unit: main_pid(robot, unit) for unit in NAMES}
    missing = converge("trixie", victoriametrics_image="localhost/no-such-image:1")
    assert missing.returncode != 0
    assert "no-such-image" in missing.stdout
    old = converge("bookworm", **IMAGES)
    assert old.returncode != 0
    assert "the podman of bookworm, jammy, noble makes no units" in " ".join(old.stdout.split())
    assert connect("bookworm").run("test -e /etc/containers").rc != 0
    assert {unit: main_pid(robot, unit) for unit in NAMES} == before


def test_containers_take_over_units_and_data(robot: Host) -> None:
    kept = 'for i in 1 2 3; do echo "kept{n=\\"$i\\"} $i"; done'
    send = f"curl -fsS --data-binary @- {LOCAL}/api/v1/import/prometheus"
    robot.check_output("sh -c %s", f"{kept} | {send}")
    assert wait_for(lambda: stored(robot) == 3, 60)
    done = converge("trixie", **IMAGES)
    assert done.returncode == 0, done.stdout[-3000:]
    user = str(robot.user("_victoria-metrics").uid)
    for unit, program in PROGRAMS.items():
        pid = process(robot, unit)
        lines = robot.check_output(f"cat /proc/{pid}/status").splitlines()
        status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
        shown = robot.check_output(f"tr '\\0' ' ' < /proc/{pid}/cmdline")
        assert shown.startswith(f"{program}-prod ")
        assert robot.check_output(f"stat -c %u /proc/{pid}") == user
        assert status["NoNewPrivs"] == ["1"]
        assert status["Seccomp"] == ["2"]
        assert {int(status[kind][0], 16) for kind in ("CapEff", "CapPrm", "CapBnd")} == {0}
        shown = robot.check_output(f"cat /proc/{pid}/cgroup")
        assert f"/{unit}/" in shown, "the limits of the unit are those of the container"
        shown = "podman inspect --format '{{.HostConfig.ReadonlyRootfs}}'"
        assert robot.check_output(f"{shown} {NAMES[unit]}") == "true"
    for unit, memory in {UNIT: 150 << 20, AGENT: 64 << 20}.items():
        shown = robot.check_output(f"systemctl show --property=MemoryMax --value {unit}")
        assert shown == str(memory)
    assert "0.0.0.0:84" not in robot.check_output("ss -Hltn")
    assert stored(robot) == 3
    goes_on(robot)
    assert ask(robot, LOCAL, "up == 0") == []
    assert robot.run(f"curl -fsS {FORWARDER}/metrics").rc == 0
    again = converge("trixie", **IMAGES)
    assert "changed=0" in again.stdout, again.stdout[-3000:]


def test_a_container_that_is_killed_starts_again(robot: Host) -> None:
    former = {unit: process(robot, unit) for unit in NAMES}
    robot.check_output(f"kill -9 {' '.join(map(str, former.values()))}")
    assert wait_for(lambda: robot.run(f"curl -fsS {LOCAL}/health").rc == 0, 30)
    assert stored(robot) == 3
    goes_on(robot)
    assert not set(former.values()) & {process(robot, unit) for unit in NAMES}


def test_the_programs_of_the_package_come_back(robot: Host) -> None:
    foreseen = converge("trixie", check_mode=True)
    assert foreseen.returncode == 0, foreseen.stdout[-3000:]
    assert process(robot, UNIT) > 0
    done = converge("trixie")
    assert done.returncode == 0, done.stdout[-3000:]
    for unit, program in PROGRAMS.items():
        assert robot.check_output(f"readlink /proc/{main_pid(robot, unit)}/exe") == program
    assert robot.check_output("podman ps --all --quiet") == ""
    assert {robot.run(f"podman image exists {image}").rc for image in IMAGES.values()} == {1}
    assert robot.run("ls /etc/containers/systemd/*.container").rc != 0
    assert stored(robot) == 3
    goes_on(robot)


def test_a_container_goes_with_its_host(robot: Host) -> None:
    one = {"victoriametrics_agent_image": IMAGES["victoriametrics_agent_image"]}
    podman_import(robot, AGENT)
    done = converge("trixie", **one)
    assert done.returncode == 0, done.stdout[-3000:]
    assert process(robot, AGENT) > 0
    assert robot.check_output(f"readlink /proc/{main_pid(robot, UNIT)}/exe") == PROGRAMS[UNIT]
    done = converge("trixie", playbook="remove.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert robot.check_output("podman ps --all --quiet") == ""
    assert robot.run(f"podman image exists {IMAGES['victoriametrics_agent_image']}").rc == 1
    places = "/etc/systemd /etc/containers /etc/victoriametrics /run/systemd /var/lib/victoria*"
    assert robot.run(f"find {places} -name '*victoria*' | grep .").rc == 1
    assert robot.run("systemctl show victoria-metrics-agent | grep LoadState=loaded").rc == 1
