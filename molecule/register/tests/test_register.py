"""What a host registers arrives where it is read, and goes when the host goes."""

from __future__ import annotations

import yaml
from hosts import connect
from play import changed_tasks, converge

TARGET = "/etc/prometheus/targets/shop/app.yml"
ROUTE = "/etc/lookout/routes.d/app/shop.yml"
EXPECTED = "/var/lib/prometheus/node-exporter"
HERE, GONE = "remote_writer_app.prom", "remote_writer_gone.prom"


def test_the_monitoring_host_has_the_target() -> None:
    assert yaml.safe_load(connect("mon").file(TARGET).content_string) == [
        {"targets": ["app:9999"], "labels": {"instance": "app"}}
    ]


def test_the_gateway_has_the_route_with_its_defaults() -> None:
    route = yaml.safe_load(connect("mon").file(ROUTE).content_string)
    assert route == {
        "name": "shop",
        "host": "app",
        "path": "/shop/",
        "upstream": {"scheme": "https", "port": 9998},
        "purpose": "The shop",
        "sign_in": "basic",
        "websocket": False,
        "keep_path": False,
        "spread": False,
        "refuse": [],
        "address": "app",
    }


def test_plain_http_between_hosts_is_refused() -> None:
    before = connect("mon").file(ROUTE).content_string
    done = converge("app", scheme="http")
    assert done.returncode != 0
    assert "between hosts it has to be https" in " ".join(done.stdout.split())
    assert connect("mon").file(ROUTE).content_string == before


def test_the_host_knows_who_uses_a_certificate() -> None:
    file = connect("app").file("/etc/lookout/certificates.d/shop.example.com/shop.service")
    assert file.exists
    assert file.content_string == ""


def test_the_host_keeps_its_own_backup_part() -> None:
    part = connect("app").file("/etc/lookout/backup.d/shop.yml")
    assert yaml.safe_load(part.content_string)["paths"] == ["/srv/shop"]
    assert not connect("mon").file("/etc/lookout/backup.d").exists


def test_a_target_without_a_port_is_refused_and_the_old_one_stays() -> None:
    before = connect("mon").file(TARGET).content_string
    done = converge("app", address="app")
    assert done.returncode != 0
    assert "a target needs a port" in " ".join(done.stdout.split())
    assert connect("mon").file(TARGET).content_string == before


def test_hosts_that_left_the_inventory_are_pruned_and_others_kept() -> None:
    mon = connect("mon")
    mon.check_output(
        "cp /etc/prometheus/targets/shop/app.yml /etc/prometheus/targets/shop/gone.yml"
    )
    mon.check_output("cp -r /etc/lookout/routes.d/app /etc/lookout/routes.d/gone")
    # its name only begins like that of a host which is there
    mon.check_output(
        "cp /etc/prometheus/targets/shop/app.yml /etc/prometheus/targets/shop/app2.yml"
    )
    mon.check_output(f"mkdir -p {EXPECTED} && cd {EXPECTED} && touch {GONE} {HERE} other.prom")
    done = converge("mon", register_remote_writers=["application"])
    assert done.returncode == 0, done.stdout[-2000:]
    assert changed_tasks(done) == ["register : Ensure hosts that left the inventory are gone"]
    assert mon.check_output(f"ls {EXPECTED}").split() == ["other.prom", HERE]
    left = mon.check_output("ls /etc/prometheus/targets/shop /etc/lookout/routes.d").split()
    assert "app.yml" in left
    assert "app" in left
    assert not {"gone.yml", "app2.yml", "gone"} & set(left)


def test_samples_are_expected_only_where_they_go() -> None:
    """Once nobody sends any, or they go past Prometheus, nobody is missed."""
    mon = connect("mon")
    mon.check_output(f"mkdir -p {EXPECTED} && touch {EXPECTED}/{HERE}")
    done = converge("mon")
    assert done.returncode == 0, done.stdout[-2000:]
    assert HERE not in mon.check_output(f"ls {EXPECTED}").split()
