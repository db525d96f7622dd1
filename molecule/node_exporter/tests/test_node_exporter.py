"""The exporter: what it measures, who reaches it, what it may do."""

from __future__ import annotations

import pytest
import yaml
from hosts import CURL
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill

UNIT = "prometheus-node-exporter.service"
URL = "https://127.0.0.1:9100/metrics"


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


@pytest.mark.parametrize(
    "series",
    [
        'node_systemd_unit_state{name="logrotate.timer",state="active"',
        'node_systemd_timer_last_trigger_seconds{name="prometheus-node-exporter-apt.timer"}',
        'node_systemd_service_restart_total{name="systemd-journald.service"}',
        'node_scrape_collector_success{collector="timex"} 1',
        'node_scrape_collector_success{collector="systemd"} 1',
        'node_scrape_collector_success{collector="textfile"} 1',
        "node_timex_sync_status ",
        "node_reboot_required ",
    ],
)
def test_it_measures_what_the_alerts_need(host: Host, series: str) -> None:
    assert series in host.check_output(f"{CURL} {URL}")


def test_it_shows_what_programs_leave_in_the_text_folder(host: Host) -> None:
    """A member of the group lookout may leave metrics there, and nobody else."""
    host.check_output("useradd --system --groups lookout probe-writer")
    folder = "/var/lib/prometheus/node-exporter"
    new = f"{folder}/probe.new"
    write = f"umask 022; echo probe_written 1 > {new} && mv {new} {folder}/probe.prom"
    host.check_output(f"runuser -u probe-writer -- sh -c '{write}'")
    assert "probe_written 1" in host.check_output(f"{CURL} {URL}")
    host.check_output(f"rm {folder}/probe.prom")
    host.check_output("userdel probe-writer")
    assert host.run(f"runuser -u nobody -- touch {folder}/other.prom").rc != 0


def test_it_listens_on_loopback_while_nobody_else_has_to_reach_it(host: Host) -> None:
    listening = host.check_output("ss -Hltn 'sport = :9100'").splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:9100"]


def test_it_is_registered_under_the_name_of_the_inventory(host: Host, name: str) -> None:
    file = host.file(f"/etc/prometheus/targets/node_exporter/{name}.yml")
    assert yaml.safe_load(file.content_string) == [
        {"targets": ["127.0.0.1:9100"], "labels": {"instance": name}}
    ]


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    assert_hardened(host, UNIT, 2.5)


def test_its_configuration_is_saved_and_proven(host: Host) -> None:
    part = Registered(host, "configuration-node_exporter")
    part.assert_a_copy_is_good()
    part.assert_damage_is_found("rm -r files/etc/default", "missing")
    part.forget()


def test_it_is_back_after_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, URL)


def test_flags_that_a_dead_run_left_unread_are_taken_up(host: Host, name: str) -> None:
    """The state between the change of the flags and the restart, as a kill leaves it."""
    host.check_output("touch /etc/default/prometheus-node-exporter")
    done = converge(name)
    assert changed_tasks(done) == ["node_exporter : Ensure the exporter runs what is on disk"]
    assert changed_tasks(converge(name)) == []


def test_a_flag_that_it_does_not_know_is_reported_with_its_own_words(host: Host, name: str) -> None:
    done = converge(name, node_exporter_flags=["no-such-flag"])
    assert done.returncode != 0
    assert "no-such-flag" in done.stdout
    assert "the former one is live again" in " ".join(done.stdout.split())
    assert host.run(f"{CURL} {URL}").rc == 0, "it has to run as it did before"
    assert converge(name).returncode == 0
    assert host.run(f"{CURL} {URL}").rc == 0
