"""Two monitoring hosts: one cluster, of two releases here. It stays one until the next converge."""

from __future__ import annotations

import pytest
from hosts import CURL, wait_for
from play import converge
from receivers import API, Receivers

# The second member waits 15 s whether the first one has told already.
PEER_TIMEOUT_SECONDS = 15


@pytest.fixture(scope="module", autouse=True)
def cluster(both: list[Receivers]) -> None:
    done = converge("all", register_scraped_by=["trixie", "bookworm"])
    assert done.returncode == 0, done.stdout
    members = f"{CURL} {API}/metrics | grep -x 'alertmanager_cluster_members 2'"
    hosts = [receivers.host for receivers in both]
    assert wait_for(lambda: all(host.run(members).rc == 0 for host in hosts)), "\n".join(
        host.check_output("journalctl --no-pager -n 30 -u prometheus-alertmanager")
        for host in hosts
    )


def test_each_prometheus_finds_and_reaches_both(both: list[Receivers]) -> None:
    for receivers in both:
        for name in ("trixie", "bookworm"):
            target = f"/etc/prometheus/targets/alertmanager/{name}.yml"
            assert f"{name}:9093" in receivers.host.check_output(f"cat {target}")
            receivers.host.check_output(f"{CURL} https://{name}:9093/-/ready")


def test_a_silence_on_one_holds_on_the_other(both: list[Receivers], name: str) -> None:
    first, second = both
    mine = first.host.check_output(
        f"amtool silence add alertname={name} --author test --comment cluster"
    )
    assert wait_for(lambda: mine in second.host.check_output("amtool silence query --quiet"))


def test_an_alert_that_both_get_is_told_once(both: list[Receivers], name: str) -> None:
    for receivers in both:
        receivers.send(name, instance="db1", severity="warning", team="data-science")

    def told() -> int:
        return sum(len(receivers.alerts("data-science", name)) for receivers in both)

    assert wait_for(told)
    assert not wait_for(lambda: told() > 1, PEER_TIMEOUT_SECONDS + 5)
