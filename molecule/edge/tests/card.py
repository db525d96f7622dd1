"""The card of a robot: a filesystem of its own, of which a power cut leaves what was written."""

from __future__ import annotations

import subprocess

from hosts import wait_for
from robots import DATABASE, FORWARDER, Robot, mend

FOLDERS = ("victoria-metrics", "victoria-metrics-agent")
IMAGE, MEGABYTES = "/root/card.img", 330
SERVICE = f"""[Unit]
Before={DATABASE} {FORWARDER}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /root/card.sh
[Install]
RequiredBy={DATABASE} {FORWARDER}
"""
# The /dev of a container is new at each boot.
NODES = "for n in $(seq 0 31); do test -e /dev/loop$n || mknod -m 600 /dev/loop$n b 7 $n; done"
# The device goes with the mount: `-n`, as umount would look for it otherwise, and fail.
MOUNT_IMAGE = f"mount -n -o loop {IMAGE} /card"
MOUNT = "\n".join(
    [
        "set -e",
        NODES,
        MOUNT_IMAGE,
        *(f"mount --bind /card/{folder} /var/lib/{folder}" for folder in FOLDERS),
    ]
)
# EXT4_IOC_SHUTDOWN without a last flush: from here on nothing more is written, nor the last word.
STOP_WRITING = """
import fcntl, os
card = os.open("/card", os.O_RDONLY)
with open("/card/last", "w") as file:
    file.write("word")
fcntl.ioctl(card, 0x8004587D, b"\\2\\0\\0\\0")
"""


def put_on_card(robot: Robot) -> None:
    """Move the samples, and what waits to be forwarded, to a card, which is there at each boot."""
    for path, text in (("/etc/systemd/system/card.service", SERVICE), ("/root/card.sh", MOUNT)):
        robot.host.check_output("printf %%s %s > %s", text, path)
    steps = ["apt-get install -qy --no-install-recommends e2fsprogs", "mkdir /card"]
    steps += [f"truncate -s {MEGABYTES}M {IMAGE}", f"mkfs.ext4 -q {IMAGE}"]
    steps += [NODES, f"systemctl stop {FORWARDER} {DATABASE}", MOUNT_IMAGE]
    steps += [f"cp -a /var/lib/{folder} /card" for folder in FOLDERS]
    steps += ["umount /card", "systemctl enable card", f"systemctl start {DATABASE} {FORWARDER}"]
    robot.host.check_output(" && ".join(steps))


def take_off_card(robot: Robot) -> None:
    """Back to what was before; the card has to be sound."""
    steps = ["systemctl disable card", f"systemctl stop {FORWARDER} {DATABASE} card"]
    steps += [f"umount /var/lib/{folder}" for folder in FOLDERS]
    steps += ["umount /card", f"systemctl start {DATABASE} {FORWARDER}", f"e2fsck -fn {IMAGE}"]
    robot.host.check_output(" && ".join([*steps, f"rm -r {IMAGE} /card"]))


def lose_power(robot: Robot) -> None:
    """Stop the card, kill all that is in the container, then boot it at the same address."""
    name = robot.host.backend.name
    address = robot.host.check_output("ip -4 -o addr show dev eth0 | awk '{print $4}'")
    gateway = robot.host.check_output("ip route show default | awk '{print $3}'")
    again = f"ip addr add {address} dev eth0 && ip route add default via {gateway}"
    robot.host.check_output("python3 -c %s", STOP_WRITING)
    for action in ("kill", "start"):
        subprocess.run(["podman", action, name], check=True, capture_output=True, timeout=60)
    assert wait_for(lambda: robot.host.run("systemctl is-system-running --wait").rc == 0, 60)
    # podman may give it another one, which the site's firewall does not know, or the former one.
    robot.host.check_output(f"ip addr flush dev eth0 && {again}")
    mend(robot)
    assert robot.host.run("cat /card/last").stdout == "", "it was in the kernel alone"
