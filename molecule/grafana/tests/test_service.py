"""Grafana as a service: what it may do, what it survives, what of it is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from canaries import assert_nobody_sees
from grafana import ADMIN, CONFIG, DIRECT, SITES, UNIT, Grafana, secret
from hosts import wait_for
from parts import Registered
from people import BIND_PASSWORD
from play import changed_tasks, converge
from units import assert_hardened, assert_survives_a_kill

HOSTS = SITES
# Where something of it might lie, open to everybody
PLACES = "/etc /var /run /tmp /root /usr/local /usr/share/grafana"


def serial(grafana: Grafana) -> str:
    """Of the certificate that Grafana shows."""
    asked = "openssl s_client -connect 127.0.0.1:3000 </dev/null 2>/dev/null"
    return str(grafana.host.check_output(f"{asked} | openssl x509 -noout -serial"))


def test_it_may_do_no_more_than_it_needs(grafana: Grafana) -> None:
    assert_hardened(grafana.host, UNIT, 3.0, user="grafana")


def test_it_is_back_after_a_kill_and_nobody_signs_in_again(grafana: Grafana) -> None:
    vera = grafana.signed_in("vera")
    assert_survives_a_kill(grafana.host, UNIT, f"{DIRECT}/api/health", seconds=60)
    assert vera.get("/api/user")["login"] == "vera"


def test_a_run_in_check_mode_says_that_all_is_well(grafana: Grafana) -> None:
    done = converge(grafana.name, check_mode=True)
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == []


def test_what_a_dead_run_left_unread_is_taken_up(grafana: Grafana) -> None:
    """The state between the change of a file and the restart, as a kill leaves it."""
    before = grafana.started()
    grafana.host.check_output("touch /etc/default/grafana-server")
    done = converge(grafana.name)
    assert changed_tasks(done) == ["grafana : Ensure Grafana runs what is on disk"], done.stdout
    assert grafana.started() != before


def test_a_renewed_certificate_is_the_one_it_shows(grafana: Grafana) -> None:
    before = serial(grafana)
    grafana.host.check_output("rm /etc/lookout/tls/host/fullchain.pem")
    done = converge(grafana.name, playbook="renew.yml")
    assert done.returncode == 0, done.stdout
    assert serial(grafana) not in ("", before)
    grafana.host.check_output("systemctl reload nginx")
    grafana.signed_in("vera")


def test_the_admin_gets_back_the_password_of_the_inventory(grafana: Grafana) -> None:
    local = grafana.signed_in(ADMIN)
    path = f"/api/admin/users/{local.get('/api/user')['id']}/password"
    assert local.ask("PUT", path, {"password": "changed-by-hand"}).status == 200
    grafana.refused(ADMIN)
    done = converge(grafana.name)
    assert changed_tasks(done) == ["grafana : Ensure the admin has it"], done.stdout
    grafana.signed_in(ADMIN)
    grafana.refused(ADMIN, "changed-by-hand")
    assert secret("grafana_admin") not in done.stdout


def test_no_secret_is_seen_by_others(grafana: Grafana, tmp_path: Path) -> None:
    names = ["grafana_admin", "grafana_secret_key"]
    if grafana.name == "bookworm":
        names += ["postgresql_grafana", "postgresql_grafana_reader"]
    words = [BIND_PASSWORD, *map(secret, names)]
    assert_nobody_sees(grafana.host, words, CONFIG, PLACES, tmp_path)


def test_what_is_saved_can_be_restored_and_damage_is_found(grafana: Grafana) -> None:
    part = Registered(grafana.host, "grafana")
    grafana.signed_in("vera")
    facts = part.assert_a_copy_is_good()
    assert facts["files"]["entries"][CONFIG]["kind"] == "link"
    part.assert_damage_is_found(f"rm -r files{CONFIG}.trees/*/secrets", "missing")
    if grafana.name == "bookworm":
        assert "sqlite" not in facts, "PostgreSQL's own part has the rest"
    else:
        assert facts["sqlite"]["grafana.db"]["tables"]["user"]["rows"] > 1
        part.assert_damage_is_found("truncate -s 4096 sqlite/grafana.db", "is damaged")
        users = "import sqlite3; c = sqlite3.connect('sqlite/grafana.db'); "
        users += "c.execute('delete from user'); c.commit()"
        part.assert_damage_is_found(f'python3 -c "{users}"', "table user has 0 rows")
    part.forget()


@pytest.mark.parametrize("name", ["grafana.ini", "ldap.toml"])
def test_it_is_found_where_people_look_for_it(grafana: Grafana, name: str) -> None:
    found = grafana.host.check_output(f"readlink -f /etc/grafana/{name}")
    assert found == f"{grafana.tree()}/{name}"


def test_prometheus_scrapes_it(grafana: Grafana) -> None:
    shown = "curl -fsS --cacert /etc/lookout/tls/ca.pem"
    assert wait_for(
        lambda: "grafana_build_info" in grafana.host.run(f"{shown} {DIRECT}/metrics").stdout
    )
