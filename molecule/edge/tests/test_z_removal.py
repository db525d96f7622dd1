"""A robot leaves, one that answers and one that does not; nothing of them stays registered."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from subprocess import CompletedProcess

from hosts import wait_for
from play import playbook
from robots import SITE, Robot, results
from testinfra.host import Host

SILENT = 'ALERTS{alertname="RobotSilent"}'


def test_the_site_misses_a_robot_that_is_gone(mon: Host, robots: list[Robot]) -> None:
    gone = robots[1]
    subprocess.run(["podman", "kill", gone.host.backend.name], check=True, timeout=60)
    fires = SILENT.replace("}", f',instance="{gone.name}",alertstate="firing"}}')
    assert wait_for(lambda: results(mon, SITE, fires), 120)


def test_robots_leave_and_are_forgotten(mon: Host, robots: list[Robot]) -> None:
    here = robots[0]

    def remove(robot: Robot) -> CompletedProcess[str]:
        return playbook("playbooks/remove_host.yml", "-e", f"host={robot.name}")

    with ThreadPoolExecutor() as both:
        for done in both.map(remove, robots):
            assert done.returncode == 0, done.stdout[-4000:]
    for name in ("lookout", "victoria", "sensor", "node-exporter"):
        places = "find /etc /opt /usr/bin /usr/lib/systemd /usr/local /var/lib -xdev"
        prune = r"\( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd \) -prune"
        found = here.host.check_output(f"{places} {prune} -o -name '*{name}*' -print")
        assert found == "", found
    listening = here.host.check_output("ss -Hltn '( sport != :53 )' | awk '{print $4}'")
    assert listening == "127.0.0.1:8900", "the program of the robot alone"
    assert here.host.run("grep -E 'lookout|victoria' /etc/passwd /etc/group").rc == 1
    assert wait_for(lambda: not results(mon, SITE, SILENT), 60), "nobody misses them"
    assert mon.run("find /etc -xdev -name trixie.yml -o -name bookworm.yml | grep .").rc == 1
