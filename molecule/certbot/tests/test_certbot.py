"""Certificates of a real ACME server: issued, renewed by the hardened unit, served, given up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from gateways import (
    EMAIL,
    GATEWAYS,
    HOOK,
    PUBLIC_CA,
    SECRET,
    certificates,
    due,
    metrics,
    names,
    on_disk,
    on_the_wire,
    public,
    reloads,
    renew,
    serial,
    served,
)
from hosts import CURL, put, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host

ROOT = Path(__file__).parents[3]
MOST_EXPOSURE = 2.0
CREDENTIALS = "/etc/letsencrypt/lookout-rfc2136.ini"


@pytest.fixture(scope="module")
def status(gateway: Host) -> str:
    """The certificate by HTTP-01, which the web server hands out."""
    return f"status.{public(gateway)}"


@pytest.fixture(scope="module")
def wild(gateway: Host) -> str:
    """The certificate by DNS-01."""
    return f"wild.{public(gateway)}"


def test_the_web_server_hands_out_the_public_certificate(gateway: Host, status: str) -> None:
    shown = on_the_wire(gateway)
    assert PUBLIC_CA in shown
    assert names(shown) == {status, f"www.{public(gateway)}"}
    assert served(gateway, status) == f"/etc/letsencrypt/live/{status}"


def test_a_wildcard_is_had_by_dns(gateway: Host, wild: str) -> None:
    shown = on_disk(gateway, wild, "-issuer -ext subjectAltName")
    assert PUBLIC_CA in shown
    assert names(shown) == {f"*.{public(gateway)}"}


def test_keys_are_of_the_curve_p256_and_for_root_alone(
    gateway: Host, status: str, wild: str
) -> None:
    for name in (status, wild):
        assert "prime256v1" in on_disk(gateway, name, "-text")
        assert gateway.file(f"/etc/letsencrypt/archive/{name}/privkey1.pem").mode == 0o600


def test_the_key_of_the_name_server_stays_secret(gateway: Host) -> None:
    file = gateway.file(CREDENTIALS)
    assert (file.mode, file.user) == (0o600, "root")
    assert file.contains(SECRET)
    found = gateway.run(
        f"journalctl --no-pager | grep -F '{SECRET}'; "
        f"grep -rlF '{SECRET}' /var/log /etc/systemd /run/systemd /etc/letsencrypt/renewal /var/lib"
    )
    assert found.stdout == ""


def test_the_node_exporter_shows_every_metric_that_a_rule_names(gateway: Host) -> None:
    rules = (ROOT / "roles/certbot/files/alerts/certbot.yml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"lookout_certbot_\w+", rules))
    assert len(wanted) == 4
    shown = gateway.check_output(f"{CURL} https://127.0.0.1:9100/metrics")
    assert wanted <= set(re.findall(r"^(lookout_certbot_\w+)", shown, re.MULTILINE))


def test_a_try_with_nothing_due_reloads_nobody(gateway: Host, status: str) -> None:
    before, count, first = on_disk(gateway, status), reloads(gateway, "user"), metrics(gateway)
    assert renew(gateway) == 0
    assert on_disk(gateway, status) == before
    assert reloads(gateway, "user") == count
    assert (
        metrics(gateway)["last_success_timestamp_seconds"] > first["last_success_timestamp_seconds"]
    )
    assert metrics(gateway)["renewal_failed"] == 0


def test_a_renewal_by_the_hardened_unit_reaches_the_wire_and_the_recorded_units_alone(
    gateway: Host, status: str, wild: str
) -> None:
    # A hook of ours looks at what the unit really may do: a container may ignore a directive.
    look = "/etc/letsencrypt/renewal-hooks/pre/look"
    gateway.check_output(
        f"mkdir -p $(dirname {look}) && printf '%s\\n' '#!/bin/sh' "
        '\'grep -E "^(CapEff|Seccomp|NoNewPrivs):" /proc/self/status '
        ">/var/lib/lookout/certbot/seen' "
        "'for place in /etc /usr /var/lib /root /etc/lookout/tls/host; do touch $place/probe && "
        f"echo $place >>/var/lib/lookout/certbot/seen; done; exit 0' >{look} && chmod +x {look}"
    )
    before, count = on_the_wire(gateway), reloads(gateway, "user")
    assert renew(gateway, status, wild) == 0, gateway.check_output(
        "journalctl --no-pager -n 30 -u certbot.service"
    )
    gateway.check_output(f"rm {look}")

    new = serial(on_disk(gateway, status))
    assert serial(on_the_wire(gateway, new)) == new != serial(before)
    assert reloads(gateway, "user") == count + 1
    assert reloads(gateway, "stranger") == 0
    seen = gateway.check_output("cat /var/lib/lookout/certbot/seen").split()
    assert seen == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    shown = gateway.check_output("systemd-analyze security --no-pager certbot.service")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_a_renewal_loses_no_request(gateway: Host, status: str) -> None:
    put(gateway, ROOT / "molecule/shared/load.py")
    gateway.check_output(f"echo 127.0.0.1 {status} >>/etc/hosts")
    # The issuer stays; the certificate that is handed out meanwhile does not.
    gateway.check_output(f"cp /etc/letsencrypt/live/{status}/chain.pem /run/issuer.pem")
    before = serial(on_the_wire(gateway))
    load = f"timeout 120 python3 /root/load.py https://{status}/node/ /run/issuer.pem"
    renewal = "systemctl start certbot.service && sleep 1"
    with due(gateway, status):
        asked, failed, *words = gateway.check_output(f"{{ {renewal}; }} | {load}").split()
    new = serial(on_disk(gateway, status))
    assert serial(on_the_wire(gateway, new)) == new != before
    assert int(asked) > 100
    assert failed == "0", words


def test_a_hook_that_died_is_made_good_by_the_next_try(gateway: Host, status: str) -> None:
    # As after a kill -9 between the renewal and the hook
    gateway.check_output(
        "REQUESTS_CA_BUNDLE=/etc/letsencrypt/lookout-acme-ca.pem certbot renew --quiet "
        "--no-random-sleep-on-renew --force-renewal --no-directory-hooks "
        f"--cert-name {status}"
    )
    new = serial(on_disk(gateway, status))
    assert serial(on_the_wire(gateway)) != new
    count = reloads(gateway, "user")
    assert renew(gateway) == 0
    assert serial(on_the_wire(gateway, new)) == new
    assert reloads(gateway, "user") == count + 1


def test_the_hook_works_by_hand_and_once(gateway: Host, status: str) -> None:
    gateway.check_output(f"ln -sfn /etc/lookout/tls/host /etc/lookout/tls/served/{status}")
    gateway.check_output(f"rm -r /var/lib/lookout/certbot/reloaded/{status}")
    count = reloads(gateway, "user")
    said = gateway.check_output(f"RENEWED_LINEAGE=/etc/letsencrypt/live/{status} {HOOK}")
    assert said.splitlines() == [
        f"{status}: /etc/letsencrypt/live/{status} is served",
        "counting@user.service: reloaded",
        "nginx.service: reloaded",
    ]
    assert gateway.check_output(HOOK) == ""
    assert reloads(gateway, "user") == count + 1


def test_a_unit_that_does_not_reload_is_reported_and_reloaded_by_the_next_try(
    gateway: Host, status: str
) -> None:
    gateway.check_output("touch /run/refuse-user")
    count = reloads(gateway, "user")
    assert renew(gateway, status) != 0
    said = gateway.check_output("journalctl --no-pager -n 20 -u certbot.service")
    assert f"{status}: counting@user.service did not reload" in said
    assert metrics(gateway)["renewal_failed"] == 1
    new = serial(on_disk(gateway, status))
    assert serial(on_the_wire(gateway, new)) == new, "the others have it"

    gateway.check_output("rm /run/refuse-user")
    assert renew(gateway) == 0
    assert reloads(gateway, "user") == count + 1
    assert metrics(gateway)["renewal_failed"] == 0


def test_a_key_that_does_not_fit_is_not_put_into_use(gateway: Host, status: str) -> None:
    live = f"/etc/letsencrypt/live/{status}"
    key = gateway.check_output(f"readlink {live}/privkey.pem")
    gateway.check_output(f"ln -sfn /etc/lookout/tls/host/privkey.pem {live}/privkey.pem")
    gateway.check_output(f"ln -sfn /etc/lookout/tls/host /etc/lookout/tls/served/{status}")
    refused = gateway.run(HOOK)
    assert refused.rc == 1
    assert "certificate and key do not fit" in refused.stderr
    assert served(gateway, status) == "/etc/lookout/tls/host"
    gateway.check_output(f"ln -sfn {key} {live}/privkey.pem && {HOOK}")
    assert served(gateway, status) == live


def test_a_copy_of_the_certificates_is_proven(gateway: Host, status: str) -> None:
    part = Registered(gateway, "certbot")
    part.assert_a_copy_is_good()
    assert part.check().stdout.startswith("2 certificates, 0 of them unusable")
    archive = f"files/etc/letsencrypt/archive/{status}"
    part.assert_damage_is_found(f"rm {archive}/privkey*.pem", "missing")
    assert part.check().rc == 1
    part.forget()


def test_a_second_run_changes_nothing_and_asks_nobody(gateway: Host) -> None:
    log = "stat -c %Y /var/log/letsencrypt/letsencrypt.log"
    before = gateway.check_output(log)
    for check_mode in (True, False):
        done = converge(gateway.check_output("hostname"), check_mode=check_mode)
        assert done.returncode == 0, done.stdout[-3000:]
        assert changed_tasks(done) == []
    assert gateway.check_output(log) == before


def test_what_is_missing_is_all_said_before_anything_changes() -> None:
    done = converge(
        *GATEWAYS,
        check_mode=True,
        certbot_email="",
        certbot_agree_terms=False,
        certbot_dns_rfc2136={},
    )
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    for words in (
        "certbot_email is missing",
        "certbot_agree_terms must be true",
        "certbot_dns_rfc2136 needs server, name, secret",
    ):
        assert said.count(words) >= len(GATEWAYS), words


def test_a_refusal_is_quoted_and_everything_else_is_done(
    gateway: Host, status: str, wild: str
) -> None:
    """One run: a name more, one that the CA refuses, one that is not reachable, one given up."""
    more = f"more.{public(gateway)}"
    asked = [
        {"name": status, "domains": [status, more]},
        {"name": "refused.example.org", "domains": ["blocked.example.org"]},
        {"name": "elsewhere.example.org", "domains": ["ns.example.org"]},
    ]
    # As the role nginx leaves it
    gateway.check_output("ln -s /etc/lookout/tls/host /etc/lookout/tls/served/refused.example.org")
    done = converge(gateway.check_output("hostname"), certbot_certificates=asked)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert re.search(r"refused\.example\.org: .*blocked\.example\.org", said)
    assert re.search(r"elsewhere\.example\.org: .*Detail: .*ns\.example\.org", said)
    assert "goes on being served" in said

    assert names(on_the_wire(gateway, more)) == {status, more}
    assert served(gateway, "refused.example.org") == "/etc/lookout/tls/host"
    assert not gateway.file(f"/etc/letsencrypt/live/{wild}").exists
    assert not gateway.file(f"/etc/letsencrypt/renewal/{wild}.conf").exists
    assert served(gateway, wild) == "/etc/lookout/tls/host"
    assert not gateway.file(CREDENTIALS).exists
    seen = metrics(gateway)
    assert seen["renewal_failed"] == 1
    assert seen['certificate_missing{certificate="refused.example.org"}'] == 1
    assert seen[f'certificate_missing{{certificate="{status}"}}'] == 0


def test_the_next_run_makes_all_of_it_good(gateway: Host, status: str, wild: str) -> None:
    # And what a killed issue leaves behind, beside which certbot would issue under another name
    gateway.check_output(
        f"cd /etc/letsencrypt && touch renewal/{wild}.conf && mkdir -p archive/{wild} live/{wild} "
        f"&& echo half > archive/{wild}/cert1.pem"
    )
    done = converge(gateway.check_output("hostname"))
    assert done.returncode == 0, done.stdout[-3000:]
    www = f"www.{public(gateway)}"
    assert names(on_the_wire(gateway, www)) == {status, www}
    assert gateway.check_output("ls /etc/letsencrypt/renewal").split() == [
        f"{entry['name']}.conf" for entry in certificates(gateway)
    ]
    assert served(gateway, wild) == f"/etc/letsencrypt/live/{wild}"
    seen = metrics(gateway)
    assert seen["renewal_failed"] == 0
    assert not [name for name in seen if "refused" in name]
    assert wait_for(lambda: names(on_disk(gateway, wild)) == {f"*.{public(gateway)}"})


def test_the_site_can_be_asked(gateway: Host, status: str) -> None:
    asked: dict[str, Any] = {"playbook": "ask.yml", "certbot_certificates": certificates(gateway)}
    done = converge(gateway.check_output("hostname"), **asked)
    assert done.returncode == 0, done.stdout[-3000:]

    gateway.check_output(f"ln -sfn /etc/lookout/tls/host /etc/lookout/tls/served/{status}")
    done = converge(gateway.check_output("hostname"), **asked)
    gateway.check_output(HOOK)
    assert done.returncode != 0
    assert f"the certificate {status} is served and valid" in " ".join(done.stdout.split())


def test_the_account_has_its_address(gateway: Host) -> None:
    shown = gateway.run(
        "REQUESTS_CA_BUNDLE=/etc/letsencrypt/lookout-acme-ca.pem certbot show_account "
        "--server https://acme:14000/dir"
    )
    assert EMAIL in shown.stdout + shown.stderr
