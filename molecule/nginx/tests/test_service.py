"""The unit and its configuration: what it may do, what makes it reload, what it never takes up."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from gateway import ALICE, CONFIG, LOGS, STATUS, TLS, UNIT, Gateway
from hosts import put, wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from units import assert_survives_a_kill, main_pid

MOST_EXPOSURE = 4.0
# CAP_CHOWN, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_NET_BIND_SERVICE
CAPABILITIES = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10
TREE = "nginx : Ensure routes, users and portal are checked and in place"
RUN = "nginx : Ensure nginx runs what is on disk"
LINK = "nginx : Ensure each name has a certificate to serve"
HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared"


def inventory_name(host: Host) -> str:
    return host.check_output("hostname")


def words(done: subprocess.CompletedProcess[str]) -> str:
    return re.sub(r"\s+", " ", done.stdout)


def workers(host: Host) -> list[int]:
    return [int(pid) for pid in host.check_output(f"pgrep -P {main_pid(host, UNIT)}").split()]


def status_of(host: Host, pid: int) -> dict[str, str]:
    lines = host.check_output(f"cat /proc/{pid}/status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


# --- what it may do ---


def test_the_master_has_few_capabilities_and_the_workers_none(host: Host) -> None:
    master = status_of(host, main_pid(host, UNIT))
    assert master["Uid"].split()[0] == "0"
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(master[kind], 16) == CAPABILITIES, kind
    pids = workers(host)
    assert pids
    for pid in pids:
        worker = status_of(host, pid)
        assert worker["Uid"].split()[0] == str(host.user("www-data").uid)
        assert {int(worker[kind], 16) for kind in ("CapEff", "CapPrm", "CapAmb")} == {0}
    for pid in (main_pid(host, UNIT), *pids):
        status = status_of(host, pid)
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        limits = host.check_output(f"grep 'Max open files' /proc/{pid}/limits").split()
        assert limits[3] == "4096"


def test_it_writes_its_logs_and_buffers_alone(host: Host) -> None:
    inside = f"nsenter --target {main_pid(host, UNIT)} --mount --"
    for place in ("/etc", "/etc/nginx", TLS, "/usr", "/var/log", "/var/lib"):
        assert host.run(f"{inside} touch {place}/lookout-probe").rc != 0, place
    for place in (LOGS, "/var/lib/nginx"):
        host.check_output(f"{inside} touch {place}/lookout-probe; rm {place}/lookout-probe")
    shown = host.check_output(f"systemd-analyze security --no-pager {UNIT}")
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_workers_cannot_read_the_keys(host: Host) -> None:
    for file in (f"{TLS}/host/privkey.pem", f"{TLS}/client/privkey.pem"):
        assert host.run(f"runuser -u www-data cat {file}").rc != 0


def test_its_configuration_is_saved_and_proven(host: Host) -> None:
    """Also by who may read no key, as a drill."""
    part = Registered(host, "configuration-nginx")
    part.assert_a_copy_is_good()
    assert host.run("/usr/local/lib/lookout/nginx_check /etc/nginx/config").rc == 0
    part.assert_damage_is_found(
        "sed -i s/proxy_pass/proxy/ files/etc/nginx/config/nginx.conf", "is"
    )
    refused = part.check()
    assert refused.rc == 1
    assert 'unknown directive "proxy"' in refused.stderr
    part.forget()


def test_a_killed_master_is_back_with_new_workers(gateway: Gateway) -> None:
    former = workers(gateway.host)
    assert_survives_a_kill(gateway.host, UNIT, f"{STATUS}/stub_status")
    assert not set(former) & set(workers(gateway.host))
    assert all(gateway.host.run(f"test -e /proc/{pid}").rc != 0 for pid in former)
    assert gateway.ask("/public/").status == 200


def test_an_upgrade_of_the_package_runs_the_new_program(host: Host) -> None:
    former = main_pid(host, UNIT)
    host.check_output(
        "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --reinstall nginx >/dev/null"
    )
    assert wait_for(lambda: main_pid(host, UNIT) not in (0, former))
    exe = host.check_output(f"readlink /proc/{main_pid(host, UNIT)}/exe")
    assert exe == "/usr/sbin/nginx"
    host.check_output(f"curl --fail --silent {STATUS}/stub_status")


# --- TLS ---


def handshake(host: Host, *options: str) -> subprocess.CompletedProcess[str]:
    argv = ["openssl", "s_client", "-connect", "127.0.0.1:443", "-CAfile", f"{TLS}/ca.pem"]
    done = host.run(f"{shlex.join([*argv, *options])} </dev/null 2>&1")
    return subprocess.CompletedProcess([], done.rc, done.stdout, "")


def test_old_protocols_and_weak_suites_are_refused(host: Host) -> None:
    old = ("-cipher", "ALL:@SECLEVEL=0")
    for options in (
        ("-tls1", *old),
        ("-tls1_1", *old),
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-curves", "secp521r1"),
    ):
        assert handshake(host, *options).returncode != 0, options


def test_current_protocols_are_taken(host: Host) -> None:
    for options in (
        ("-tls1_3",),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305", "-curves", "X25519:P-256"),
        ("-tls1_3", "-curves", "secp384r1"),
    ):
        done = handshake(host, "-verify_return_error", *options)
        assert done.returncode == 0, done.stdout
        assert "TLS session ticket:" not in done.stdout or "-tls1_3" in options
    if host.run("openssl list -tls-groups 2>/dev/null | grep -q X25519MLKEM768").rc == 0:
        hybrid = handshake(host, "-tls1_3", "-groups", "X25519MLKEM768")
        assert hybrid.returncode == 0, hybrid.stdout


# --- reloads ---


def test_check_mode_finds_nothing_to_change(host: Host) -> None:
    done = converge(inventory_name(host), check_mode=True)
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == []


def test_a_reload_loses_no_request(gateway: Gateway) -> None:
    host = gateway.host
    put(host, SHARED / "load.py")
    pid, url = main_pid(host, UNIT), f"https://{gateway.name}/public/"
    reloads = f"for _ in 1 2 3; do sleep 1; systemctl reload {UNIT}; done; sleep 1"
    load = f"timeout 60 python3 /root/load.py {url} {TLS}/ca.pem"
    asked, failed, *words = host.check_output(f"{{ {reloads}; }} | {load}").split()
    assert int(asked) > 100
    assert failed == "0", words
    assert main_pid(host, UNIT) == pid


def test_a_run_that_died_before_the_reload_is_made_good(one: Gateway) -> None:
    host = one.host
    pid = main_pid(host, UNIT)
    host.check_output(f"ln -sfn config.trees/none {CONFIG}.loaded")
    done = converge(one.name)
    assert done.returncode == 0, done.stdout
    assert changed_tasks(done) == [RUN]
    assert main_pid(host, UNIT) == pid, "a reload is no restart"


def test_an_edit_by_hand_is_taken_back(gateway: Gateway) -> None:
    host = gateway.host
    before = gateway.runs()
    host.check_output(f"sed -i 's/max-age=63072000/max-age=1/' {CONFIG}/nginx.conf")
    host.check_output(f"systemctl reload {UNIT}")
    hsts = "strict-transport-security"
    assert wait_for(lambda: gateway.ask("/public/").headers[hsts] == "max-age=1")
    done = converge(gateway.name)
    assert changed_tasks(done) == [TREE, RUN], done.stdout
    assert gateway.ask("/public/").headers[hsts] == "max-age=63072000"
    assert gateway.runs() == before


def certificates_checked(host: Host) -> str:
    """What verify.yml says of the certificates; empty when they are good."""
    script = (HERE.parents[2] / "roles/nginx/files/check_certificates.sh").read_text()
    argv = ["sh", "-ec", script, "sh", f"{CONFIG}/nginx.conf", f"{TLS}/served"]
    return host.run(shlex.join([*argv, f"{TLS}/client/fullchain.pem"])).stdout.strip()


def test_a_renewed_certificate_is_served_after_the_next_run(gateway: Gateway) -> None:
    host = gateway.host
    live = "/etc/letsencrypt/live/shop.example.com"
    ask = "openssl s_client -connect 127.0.0.1:443 -servername shop.example.com"
    serial = f"{ask} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    on_disk = f"openssl x509 -noout -serial -in {live}/fullchain.pem"
    host.check_output(
        f"install -d -m 0700 /etc/letsencrypt/live && cp -r {TLS}/test/renewed {live} && "
        f"chmod 600 {live}/*"
    )
    done = converge(gateway.name)
    assert changed_tasks(done) == [LINK, TREE, RUN], done.stdout
    assert host.check_output(serial) == host.check_output(on_disk)
    assert host.run(f"runuser -u www-data cat {live}/privkey.pem").rc != 0
    # renewed once more, under the same name
    host.check_output(f"cp {TLS}/host/*.pem {live}/")
    assert host.check_output(serial) != host.check_output(on_disk)
    assert "shop.example.com is served with another certificate" in certificates_checked(host)
    done = converge(gateway.name)
    assert changed_tasks(done) == [TREE, RUN], done.stdout
    assert host.check_output(serial) == host.check_output(on_disk)
    assert certificates_checked(host) == ""
    host.check_output(f"rm -r /etc/letsencrypt; ln -sfn {TLS}/host {TLS}/served/shop.example.com")
    assert host.file("/etc/lookout/certificates.d/shop.example.com/nginx.service").exists


# --- what it never takes up ---


def test_what_nginx_refuses_never_goes_live(gateway: Gateway) -> None:
    before, live = gateway.runs(), gateway.host.check_output(f"readlink {CONFIG}")
    trees = gateway.host.check_output(f"ls {CONFIG}.trees")
    done = converge(gateway.name, nginx_max_body_size="10 potatoes")
    assert done.returncode != 0
    assert "nginx refuses the new configuration" in words(done)
    assert "$2y$" not in done.stdout + done.stderr
    assert gateway.host.check_output(f"readlink {CONFIG}") == live
    assert gateway.host.check_output(f"ls {CONFIG}.trees") == trees
    assert (gateway.runs(), gateway.ask("/public/").status) == (before, 200)


def test_a_reload_that_fails_in_silence_is_found_and_undone(gateway: Gateway) -> None:
    """`nginx -t` accepts a port that is taken, and so does systemctl."""
    host = gateway.host
    before, live = gateway.runs(), host.check_output(f"readlink {CONFIG}")
    # Passes for nginx in the preflight, whose message would come before
    host.check_output("cp /usr/bin/python3 /run/nginx")
    host.check_output(
        "systemd-run --unit test-squatter /run/nginx -c 'import socket,time;"
        's=socket.socket();s.bind(("0.0.0.0",4041));s.listen();time.sleep(300)\''
    )
    assert wait_for(lambda: host.run("ss -Hltn 'sport = :4041' | grep .").rc == 0)
    done = converge(gateway.name, nginx_metrics_port=4041)
    host.check_output("systemctl stop test-squatter")
    assert done.returncode != 0
    assert "it still runs another configuration" in words(done)
    assert "the former one is live again" in words(done)
    assert host.check_output(f"readlink {CONFIG}") == live
    assert (gateway.runs(), gateway.ask("/public/").status) == (before, 200)


FOLDER = "/etc/lookout/routes.d"
# file -> what is changed in the route `public`, and what the run says of it
MISTAKES = {
    "path": ({"path: /public/": "path: /echo/"}, "two routes with the path /echo/"),
    "name": (
        {"path: /public/": "server_name: shop.example.com"},
        "two routes with the server_name shop.example.com",
    ),
    "slash": ({"path: /public/": "path: public"}, "path must begin and end with a slash"),
    "own": ({"path: /public/": "path: /portal/x/"}, "belongs to the gateway itself"),
    "gone": ({"host: ": "host: gone-"}, "is not in the inventory"),
    "lost": (
        {"path: /public/": "path: /lost/", "address: 127.0.0.1": "address: no.such.host"},
        "the gateway cannot resolve no.such.host",
    ),
    "yaml": ({"scheme: https": "scheme: ["}, "it holds no route"),
}


def test_routes_that_do_not_hold_together_change_nothing(one: Gateway) -> None:
    host, before = one.host, one.runs()
    public = host.check_output(f"cat {FOLDER}/{one.name}/public.yml")
    for name, (changes, _) in MISTAKES.items():
        text = public.replace("name: public", f"name: test-{name}")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        host.check_output(f"cat >{FOLDER}/{one.name}/test-{name}.yml <<'END'\n{text}\nEND")
    done = converge(one.name)
    host.check_output(f"rm {FOLDER}/{one.name}/test-*")
    assert done.returncode != 0
    assert changed_tasks(done) == []
    said = words(done)
    for name, (_, problem) in MISTAKES.items():
        assert f"{FOLDER}/{one.name}/test-{name}.yml" in said, name
        assert problem in said, name
    for other in ("echo", "shop"):
        assert f"{FOLDER}/{one.name}/{other}.yml and {FOLDER}" in said
    assert one.runs() == before


def test_a_role_learns_at_once_that_its_route_is_none(one: Gateway) -> None:
    route = {"path": "extra", "upstream": {"scheme": "https", "port": 8443}, "purpose": "None"}
    done = converge(one.name, more_routes=[{"name": "portal", **route}])
    assert done.returncode != 0
    assert "path must begin and end with a slash, as in /shop/, got 'extra'" in words(done)
    assert "the name portal belongs to the gateway itself" in words(done)
    assert not one.host.file(f"{FOLDER}/{one.name}/portal.yml").exists


def test_users_that_nginx_cannot_bear_are_refused(one: Gateway) -> None:
    done = converge(one.name, nginx_users={})
    assert done.returncode != 0
    assert "nobody could open the portal" in words(done)
    assert "`make password` asks for a password" in words(done)
    hashes = {f"cost{cost}": f"$2y${cost}${'a' * 53}" for cost in ("05", "14")}
    users = {"bob": "secret-canary", "b:b": f"$2y$08${'a' * 53}", **hashes}
    done = converge(one.name, nginx_users=users)
    assert done.returncode != 0
    assert changed_tasks(done) == []
    for problem in (
        "bob has no bcrypt hash",
        "the hash of cost05 has the cost 5",
        "the hash of cost14 has the cost 14",
        "'b:b' is no user name",
    ):
        assert problem in words(done)
    assert "canary" not in done.stdout + done.stderr
    assert "a" * 53 not in done.stdout + done.stderr


def test_sites_of_others_do_not_vanish(one: Gateway) -> None:
    one.host.check_output("touch /etc/nginx/sites-enabled/intranet")
    done = converge(one.name)
    one.host.check_output("rm /etc/nginx/sites-enabled/intranet")
    assert done.returncode != 0
    assert "/etc/nginx/sites-enabled/intranet would be served no longer" in words(done)


def test_a_user_who_is_gone_is_out_at_once(one: Gateway) -> None:
    bob = "$2y$08$PnsdkiDi3FItSUFxHhoY1.AaxBJ5xmGfpPoFsOx9wFR2.HG0Ux62e"
    assert converge(one.name, nginx_users={"bob": bob}).returncode == 0
    assert one.ask("/", user=ALICE).status == 401
    assert one.ask("/", user=ALICE.replace("alice", "bob")).status == 200
    done = converge(one.name)
    assert done.returncode == 0
    assert bob not in done.stdout
    assert one.ask("/", user=ALICE).status == 200
