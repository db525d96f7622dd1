"""A full disk and a host that does not answer: a clear error, and what ran goes on as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from fault_site import Site
from hosts import CURL


def test_a_lost_host_stops_no_other_and_a_full_disk_no_service(
    new_site: Callable[[], Site],
) -> None:
    """One site for both: it is built while a host of its inventory does not answer."""
    site = new_site()
    assert_a_lost_host_does_not_stop_the_others(site)
    assert_a_full_disk_leaves_the_running_configuration(site)


def assert_a_lost_host_does_not_stop_the_others(site: Site) -> None:
    former = site.inventory.read_text("utf-8")
    gone = {"ansible_connection": "podman", "ansible_host": f"{site.run_id}-gone"}
    inventory = {**json.loads(former), "application": {"hosts": {"gone": gone}}}
    site.inventory.write_text(json.dumps(inventory), "utf-8")
    done = site.run()
    site.inventory.write_text(former, "utf-8")
    assert done.returncode != 0
    assert re.search(r"^gone .*unreachable=1", done.stdout, re.M)
    assert re.search(r"^mon .*failed=0", done.stdout, re.M)
    assert site.host.run(f"{CURL} https://127.0.0.1:9090/-/ready").rc == 0


def assert_a_full_disk_leaves_the_running_configuration(site: Site) -> None:
    host = site.host
    # the same files on a file system of a few megabytes, which is then filled to the last byte
    host.check_output(
        "mount -t tmpfs -o size=2m,mode=755 tmpfs /mnt && cp -a /etc/prometheus/. /mnt/ && "
        "mount --bind /mnt /etc/prometheus"
    )
    # a service sees the mounts that were there when it started
    host.check_output(
        "systemctl restart prometheus prometheus-alertmanager prometheus-blackbox-exporter"
    )
    host.run("dd if=/dev/zero of=/etc/prometheus/full bs=4k")
    tree = host.check_output("readlink /etc/prometheus/config")
    refused = site.run("site.yml", "-e", "prometheus_scrape_interval=30s")
    assert refused.returncode != 0
    said = " ".join(refused.stdout.split())
    assert "No space left on device" in said
    assert "stays as it was" in said
    assert host.check_output("readlink /etc/prometheus/config") == tree
    assert host.run("promtool check config /etc/prometheus/config/prometheus.yml").rc == 0
    assert host.run(f"{CURL} https://127.0.0.1:9090/-/ready").rc == 0
    host.check_output("rm /etc/prometheus/full")
    mended = site.run("site.yml", "-e", "prometheus_scrape_interval=30s")
    assert mended.returncode == 0, mended.stdout[-3000:]
    live = host.check_output(f"{CURL} https://127.0.0.1:9090/api/v1/status/config")
    assert "scrape_interval: 30s" in live
