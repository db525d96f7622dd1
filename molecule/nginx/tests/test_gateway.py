"""What people and services meet at the gateway: names, sign-in, routes, refusals, the log."""

from __future__ import annotations

import base64
import json
import shlex
import time
from pathlib import Path

import pytest
from gateway import ALICE, LOGS, TLS, Gateway
from hosts import put, wait_for
from testinfra.host import Host

HERE = Path(__file__).parent
LOG_KEYS = [
    *("time", "level", "route", "method", "status", "request_time", "upstream_time", "bytes"),
    *("client", "sign_in", "user", "host", "request", "agent"),
]
NUMBERS = {"status": int, "request_time": float, "bytes": int}
# The burst of the sign-in, and some more
GUESSES = 120


# --- names ---


def test_plain_http_leads_to_https(gateway: Gateway) -> None:
    for host, leads_to in {
        gateway.name: gateway.name,
        "shop.example.com": "shop.example.com",
        "127.0.0.1": "127.0.0.1",
        "evil.example": gateway.name,
        "": gateway.name,
    }.items():
        answer = gateway.ask("http://127.0.0.1/a/b?c=d", "--header", f"Host: {host}")
        assert answer.status == (301 if host else 400)
        if host:
            assert answer.headers["location"] == f"https://{leads_to}/a/b?c=d"


def test_the_proof_of_a_name_is_served_over_plain_http(gateway: Gateway) -> None:
    folder = "/var/lib/lookout/acme/.well-known/acme-challenge"
    gateway.host.check_output(f"mkdir -p {folder} && echo proof >{folder}/token")
    token = gateway.ask("http://127.0.0.1/.well-known/acme-challenge/token")
    assert (token.status, token.body.strip()) == (200, "proof")
    for path in ("none", "", "../../packages.before", "%2e%2e/%2e%2e/packages.before"):
        answer = gateway.ask(f"http://127.0.0.1/.well-known/acme-challenge/{path}")
        assert answer.status in (301, 400, 403, 404), path


def test_a_name_that_is_not_ours_gets_nothing(gateway: Gateway) -> None:
    answer = gateway.ask("/echo/", "--header", "Host: evil.example", user=ALICE)
    assert answer.status == 421
    assert "evil" not in answer.body


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_it_answers_to_its_addresses(gateway: Gateway, name: str) -> None:
    assert gateway.ask(f"https://{name}/").status == 401


def test_it_speaks_http_2_and_1(gateway: Gateway) -> None:
    for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
        shown = gateway.ask("/public/", option, "--write-out", "|%{http_version}").body
        assert shown.rpartition("|")[2] == version


# --- sign-in ---


def test_the_portal_and_routes_ask_for_a_password(gateway: Gateway) -> None:
    for path in ("/", "/portal/portal.js", "/portal/state", "/prometheus/", "/echo/x"):
        assert gateway.ask(path).status == 401, path
        assert gateway.ask(path, user="alice:wrong").status == 401, path
        assert gateway.ask(path, user="mallory:wrong").status == 401, path
        assert gateway.ask(path, user=ALICE).status == 200, path


def test_routes_without_a_password_need_none(gateway: Gateway) -> None:
    assert gateway.ask("/public/").status == 200
    assert gateway.ask("/loop/").status == 200
    assert gateway.ask("/", server="shop.example.com").status == 200
    assert gateway.ask("/nowhere").status == 404


def test_a_guesser_is_slowed_down_and_a_page_is_not(gateway: Gateway) -> None:
    many = (
        "for i in $(seq {count}); do curl -sS -o /dev/null -w '%{{http_code}}\\n' "
        "--cacert {tls}/ca.pem --user {user} 'https://{name}/echo/?[1-10]'; done | sort | uniq -c"
    )
    time.sleep(20)  # what the tests before have asked is forgotten
    fill = {"tls": TLS, "name": gateway.name}
    page = gateway.host.check_output(many.format(count=7, user=shlex.quote(ALICE), **fill))
    assert page.split() == ["70", "200"]
    guessed = gateway.host.check_output(many.format(count=GUESSES // 10, user="alice:x", **fill))
    counted = {int(line.split()[1]): int(line.split()[0]) for line in guessed.splitlines()}
    assert counted[429] > GUESSES / 4, counted
    # Who gives no password is not slowed down, nor is he let in.
    assert gateway.ask("/echo/").status == 401
    assert gateway.ask("/public/").status == 200
    assert wait_for(lambda: gateway.ask("/echo/", user=ALICE).status == 200)


def test_hashes_are_for_nginx_alone(gateway: Gateway) -> None:
    users = gateway.host.file("/etc/nginx/config/users")
    assert (users.user, users.group, users.mode) == ("root", "www-data", 0o640)
    assert gateway.host.run("runuser -u nobody cat /etc/nginx/config/users").rc != 0
    hash_ = users.content_string.strip().partition(":")[2]
    assert hash_.startswith("$2y$08$")
    gateway.host.check_output(f"echo {shlex.quote(hash_[7:])} >/run/hash")
    for place in ("/proc/*/cmdline", "/var/log/", "/run/log/journal"):
        assert gateway.host.run(f"grep -rqsF -f /run/hash {place}").rc != 0, place
    journal = gateway.host.run("journalctl --no-pager | grep -qF -f /run/hash")
    assert journal.rc != 0


# --- what arrives at a service ---


def test_a_service_learns_who_asks_and_not_the_password(gateway: Gateway) -> None:
    said = gateway.ask("/echo/a%20b/c?d=e", "--header", "X-Forwarded-For: 6.6.6.6", user=ALICE).said
    assert (said["name"], said["path"]) == (gateway.name, "/a%20b/c?d=e")
    assert "authorization" not in said["headers"]
    assert said["headers"]["x-forwarded-user"] == "alice"
    assert said["headers"]["x-forwarded-proto"] == "https"
    assert "6.6.6.6" not in said["headers"]["x-forwarded-for"]


def test_below_the_gateways_name_tokens_pass_and_passwords_do_not(gateway: Gateway) -> None:
    bearer = ("--header", "Authorization: Bearer t0ken", "--header", "X-Forwarded-User: root")
    for path in ("/loop/", "/public/"):
        with_token = gateway.ask(path, *bearer).said["headers"]
        assert with_token["authorization"] == "Bearer t0ken"
        assert "x-forwarded-user" not in with_token
        assert "authorization" not in gateway.ask(path, user=ALICE).said["headers"]
    own_name = gateway.ask("/", user="bob:x", server="shop.example.com").said["headers"]
    assert own_name["authorization"] == "Basic " + base64.b64encode(b"bob:x").decode()
    assert own_name["host"] == "shop.example.com"


def test_the_path_is_stripped_unless_it_is_to_be_kept(gateway: Gateway) -> None:
    assert gateway.ask("/public/x").said["path"] == "/x"
    assert gateway.ask("/loop/x").said["path"] == "/loop/x"
    answer = gateway.ask("/public?x=1")
    assert (answer.status, answer.headers["location"]) == (301, "/public/?x=1")


def test_connections_to_a_service_stay_open(gateway: Gateway) -> None:
    ports = {gateway.ask("/public/").said["client"] for _ in range(12)}
    assert len(ports) < 6


def test_a_websocket_passes(gateway: Gateway) -> None:
    talk = "python3 /root/websocket.py"
    put(gateway.host, HERE / "websocket.py")
    said = gateway.host.check_output(f"{talk} {gateway.name} /loop/")
    assert said == "HTTP/1.1 101 Switching Protocols b'hello'"
    refused = gateway.host.check_output(f"timeout 10 {talk} {gateway.name} /public/ || echo not")
    assert "101" not in refused


def test_a_large_request_passes_and_a_huge_one_does_not(gateway: Gateway) -> None:
    gateway.host.check_output("truncate -s 5M /run/large; truncate -s 11M /run/huge")
    post = ("--request", "POST", "--header", "Expect:", "--data-binary")
    assert gateway.ask("/public/", *post, "@/run/large").said["body_bytes"] == 5 * 2**20
    assert gateway.ask("/public/", *post, "@/run/huge").status == 413


# --- what is refused ---


@pytest.mark.parametrize(
    "path",
    [
        "/prometheus/api/v1/admin/tsdb/delete_series?match[]=up",
        "/prometheus/api/v1/admin",
        "/prometheus/api/v1/admin/",
        "/prometheus//api//v1///admin/tsdb/snapshot",
        "/prometheus/api/v1/%61dmin/tsdb/snapshot",
        "/prometheus/api%2fv1%2Fadmin%2ftsdb",
        "/prometheus/x/../api/v1/admin/tsdb/snapshot",
        "/prometheus/x/%2e%2e/api/v1/admin/tsdb/snapshot",
        "/prometheus/%2e/api/v1/./admin/",
        "/public/../prometheus/api/v1/admin/",
        "/prometheus/API/v1/Admin/tsdb",
        "/prometheus/-/reload",
        "/prometheus/-/quit",
        "/prometheus/-",
        "/prometheus/%2d/quit",
        "/prometheus//-//quit",
    ],
)
def test_the_admin_endpoints_are_out_of_reach(gateway: Gateway, path: str) -> None:
    for options in ((), ("--request", "POST"), ("--request", "PUT", "--http1.1")):
        assert gateway.ask(path, *options, user=ALICE).status == 403, options


def test_what_only_looks_like_it_is_not_refused(gateway: Gateway) -> None:
    for path in ("api/v1/administrators", "api/v1/query", "-x", "a/-/b", "%2561dmin"):
        answer = gateway.ask(f"/prometheus/{path}", user=ALICE)
        assert answer.status == 200
        assert answer.said["path"] == f"/{path}"


# --- certificates of services ---


def test_an_impostor_is_not_asked(gateway: Gateway) -> None:
    assert gateway.ask("/impostor/secret").status == 502
    assert f'upstream SSL certificate does not match "{gateway.name}"' in gateway.errors()
    assert gateway.ask("/stranger/secret").status == 502
    assert "upstream SSL certificate verify error" in gateway.errors()


# --- headers ---


def test_every_answer_is_for_https_alone(gateway: Gateway) -> None:
    for path in ("/", "/public/", "/nowhere", "/stranger/", "/prometheus/-/quit"):
        headers = gateway.ask(path).headers
        assert headers["strict-transport-security"] == "max-age=63072000", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["server"] == "nginx", path
    assert gateway.ask("/public/").headers["x-frame-options"] == "SAMEORIGIN"
    assert "content-security-policy" not in gateway.ask("/public/").headers


# --- the portal ---


def test_the_portal_names_every_route(gateway: Gateway) -> None:
    page = gateway.ask("/", user=ALICE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    for words in (
        '<a href="/prometheus/">Prometheus</a>',
        '<a href="/echo/">Echo &lt;1&gt;</a>',
        "<p>Says what arrived &amp; how</p>",
        '<a href="https://shop.example.com/">Shop</a>',
        'data-job="prometheus"',
    ):
        assert words in page.body, words
    for outside in ("http://", "//cdn", "<style", "onclick", " style="):
        assert outside not in page.body
    kinds = {"portal.css": "text/css", "portal.js": "text/javascript", "icon.svg": "image/svg+xml"}
    for file, kind in kinds.items():
        assert gateway.ask(f"/portal/{file}", user=ALICE).headers["content-type"].startswith(kind)


def test_the_portal_asks_prometheus_one_question(gateway: Gateway) -> None:
    asked = ("?query=up", "?query=up&time=1", "", "?%71uery=up")
    for query in asked:
        said = gateway.ask(f"/portal/state{query}", user=ALICE).said
        assert said["path"] == "/api/v1/query?query=avg%20by%20(job)%20(up)"
        assert said["data"]["result"]
    post = gateway.ask("/portal/state", "--data", "query=up", user=ALICE)
    assert post.status == 405
    assert gateway.ask("/portal/state/x", user=ALICE).status == 404


# --- the log ---


def test_every_line_of_the_log_is_what_others_read(gateway: Gateway) -> None:
    gateway.ask("/echo/log?a=1&api_token=canary-1&b=2", "--user-agent", 'say "x"\\', user=ALICE)
    gateway.ask("/echo/log?password=canary-2", user="canary-3:canary-4")
    gateway.ask("/nowhere")
    gateway.ask("/", user=ALICE)
    gateway.ask("http://127.0.0.1/plain")
    gateway.ask("http://127.0.0.1/.well-known/acme-challenge/none")
    gateway.ask("/public/status/503")
    lines = gateway.logged()
    for line in lines:
        assert list(line) == LOG_KEYS
        for key, value in line.items():
            assert isinstance(value, NUMBERS.get(key, str)), key
    by_request = {line["request"]: line for line in lines}
    mine = by_request["/echo/log?a=1&api_token=***"]
    assert (mine["route"], mine["user"], mine["level"]) == ("echo", "alice", "INFO")
    assert mine["agent"] == 'say "x"\\'
    assert float(mine["upstream_time"]) >= 0
    denied = by_request["/echo/log?password=***"]
    assert (denied["status"], denied["user"], denied["level"]) == (401, "", "WARN")
    assert by_request["/nowhere"]["route"] == "other"
    assert by_request["/"]["route"] == "portal"
    assert by_request["/plain"]["route"] == "redirect"
    assert by_request["/.well-known/acme-challenge/none"]["route"] == "acme"
    assert (
        by_request["/public/status/503"]["level"],
        by_request["/public/status/503"]["status"],
    ) == ("ERROR", 503)
    log = json.dumps(lines)
    assert "canary" not in log
    assert base64.b64encode(ALICE.encode()).decode() not in log + gateway.errors()


def test_only_the_group_reads_the_log(gateway: Gateway) -> None:
    folder = gateway.host.file(LOGS)
    assert (folder.user, folder.group, folder.mode) == ("root", "lookout", 0o2750)
    assert gateway.host.run(f"runuser -u nobody cat {LOGS}/access.log").rc != 0
    assert gateway.host.run(f"runuser -u nobody -g lookout cat {LOGS}/access.log").rc == 0


def test_a_rotated_log_goes_on(gateway: Gateway) -> None:
    gateway.host.check_output(f"rm -f {LOGS}/*.log-*")
    gateway.host.check_output("logrotate --force /etc/logrotate.d/lookout")
    gateway.ask("/public/after")
    (line,) = gateway.logged()
    assert line["request"] == "/public/after"


# --- for machines ---


def scrape(host: Host, name: str, path: str, *options: str) -> str:
    curl = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--write-out"]
    trusted = ["%{http_code}", "--cacert", f"{TLS}/ca.pem", *options, f"https://{name}:4040{path}"]
    return host.run(shlex.join([*curl, *trusted])).stdout.strip()


def proof(folder: str) -> tuple[str, ...]:
    return ("--cert", f"{TLS}/{folder}/fullchain.pem", "--key", f"{TLS}/{folder}/privkey.pem")


def test_metrics_are_for_whoever_holds_a_scrapers_certificate(gateway: Gateway) -> None:
    host, name = gateway.host, gateway.name
    if host.run("systemctl is-active test-mtail").rc != 0:
        host.check_output("mkdir -p /run/mtail && echo 'up 1' >/run/mtail/metrics")
        host.check_output(
            "systemd-run --unit test-mtail -p WorkingDirectory=/run/mtail "
            "python3 -m http.server --bind 127.0.0.1 3903"
        )
    assert wait_for(lambda: scrape(host, name, "/mtail", *proof("client")) == "200")
    assert scrape(host, name, "/nginx", *proof("client")) == "502", "nobody listens there yet"
    assert scrape(host, name, "/", *proof("client")) == "404"
    assert scrape(host, name, "/mtail/x", *proof("client")) == "404"
    for options in (("--request", "POST"), ("--head",), ("--request", "DELETE")):
        assert scrape(host, name, "/mtail", *proof("client"), *options) == "405"
    # No certificate, that of a server, that of another CA
    for folder in ("", "host", "test/stranger-client"):
        assert scrape(host, name, "/mtail", *(proof(folder) if folder else ())) in ("400", "000")


def test_samples_go_to_the_database_of_the_host(gateway: Gateway) -> None:
    there = f"https://{gateway.name}:4042/api/v1"
    samples = ("--data-binary", "x" * 1000)
    sent = gateway.ask(f"{there}/write", *proof("client"), *samples)
    said = [sent.said[key] for key in ("method", "path", "body_bytes")]
    assert (sent.status, said) == (200, ["POST", "/api/v1/write", 1000])
    assert gateway.ask(f"{there}/write", *proof("client")).status == 405
    assert gateway.ask(f"{there}/query", *proof("client"), *samples).status == 404
    assert gateway.ask(f"{there}/write", *samples).status == 400, "no certificate"


def test_counters_are_on_loopback(gateway: Gateway) -> None:
    assert "Active connections" in gateway.ask("http://127.0.0.1:8081/stub_status").body
    (listening,) = gateway.host.check_output("ss -Hltn 'sport = :8081'").splitlines()
    assert listening.split()[3] == "127.0.0.1:8081"
