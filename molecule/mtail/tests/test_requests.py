"""Every request is counted once, under labels that no client can choose."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter

import pytest
from gateway import (
    LOG,
    REQUESTS,
    UNIT,
    UNPARSED,
    counts,
    gained,
    labels,
    line,
    lines_in_log,
    logged,
    samples,
    send,
    settled,
    total,
    write_lines,
)
from hosts import wait_for
from testinfra.host import Host

# The last one is that of the lines which the tests write
ROUTES = {"portal", "app", "timed", "private", "gone", "other", "redirect", "written"}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}

ALICE = "alice:correct horse battery"
# More often than the gateway lets anybody try a password
GUESSED = "/private/guessed"

# path, how often, options of curl, route and method that it counts as
SENT = [
    ("/", 9, "", "portal", "GET"),
    ("/app/status/200", 25, "", "app", "GET"),
    ("/app/status/200", 3, "--head", "app", "HEAD"),
    ("/app/status/201", 4, "--data x=y", "app", "POST"),
    ("/app/status/204", 2, "--request DELETE", "app", "DELETE"),
    ("/app/status/200", 2, "--request PURGE", "app", "other"),
    ("/app/status/302", 1, "", "app", "GET"),
    ("/app/status/500", 6, "", "app", "GET"),
    ("/app/status/503", 4, "", "app", "GET"),
    ("/gone/", 5, "", "gone", "GET"),
    ("/private/", 3, "", "private", "GET"),
    ("/private/", 2, f"--user '{ALICE}'", "private", "GET"),
    (GUESSED, 120, "--user alice:wrong", "private", "GET"),
    ("/no/such/page", 3, "", "other", "GET"),
]

RENAME = f"""{LOG} {{
    su root lookout
    rotate 1
    create 0640 root lookout
    postrotate
        systemctl reload nginx
    endscript
}}
"""

SEND_RAW = """
import base64, json, socket, ssl, sys
context = ssl._create_unverified_context()
for text in json.loads(sys.argv[1]):
    plain = socket.create_connection(("127.0.0.1", 443), 5)
    with context.wrap_socket(plain) as connection:
        connection.sendall(base64.b64decode(text))
        try:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass
"""


def basic(user: str) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(user.encode()) + b"\r\n"


def get(path: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"


NASTY = {
    "a path that closes the string": get(b'/app/","route":"evil","status":200,"x":"'),
    "a path with a backslash at its end": get(b"/app/\\"),
    "an 8 KB path": get(b"/app/" + b"x" * 8192),
    "an 8 KB path of quotes": get(b"/app/" + b'"' * 8192),
    "a path of control characters": get(b"/app/\x01\x02\x1b[31m\x7f"),
    "a path that is no UTF-8": get(b"/app/\xff\xfe\xc3\x28"),
    "a path that ends within a character": get(b"/app/\xe2\x82"),
    "a path of umlauts": get(b"/app/" + "ü".encode() * 4000),
    "a path of pictures": get(b"/app/x" + "🙂".encode() * 2000),
    "a user that is no UTF-8": get(b"/private/", b"Authorization: Basic //9hOmI=\r\n"),
    "an agent that is no UTF-8": get(b"/", b"User-Agent: \xf0\x28\x8c\xbc\r\n"),
    "a host that is no UTF-8": b"GET / HTTP/1.1\r\nHost: a\xffb\r\n\r\n",
    "a path with an encoded newline": get(b"/app/%0a%7b%22route%22:%22evil%22%7d"),
    "a path with a zero": get(b"/app/\x00"),
    "a path too long": get(b"/app/" + b"y" * 20000),
    "a method of its own": get(b"/app/", method=b"EVIL"),
    "a method that closes the string": get(b"/app/", method=b'GET","route":"evil'),
    "a method that is long": get(b"/app/", method=b"A" * 3000),
    "a user that closes the string": get(b"/private/", basic('x","host":"evil","user":"y:z')),
    "a user of control characters": get(b"/private/", basic("\n\r\t\x01:z")),
    "a user that is a quote": get(b"/private/", basic('":z')),
    "an agent that is a line": get(b"/", b'User-Agent: "}\\n' + line().encode() + b"\r\n"),
    "an agent of 8 KB": get(b"/", b"User-Agent: " + b"\\\"" * 4000 + b"\r\n"),
    "a host that closes the string": b'GET / HTTP/1.1\r\nHost: a","route":"evil\r\n\r\n',
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "HTTP/0.9": b"GET /app/\r\n",
    "HTTP of the future": b"GET /app/ HTTP/9.9\r\n\r\n",
    "a TLS handshake": bytes.fromhex("16030100c8010000c40303") + bytes(range(256)),
    "nothing but lines": b"\r\n" * 50,
    "a header without end": b"GET /app/ HTTP/1.1\r\nX: " + b"z" * 20000,
}  # fmt: skip


def test_every_request_is_counted_once(host: Host) -> None:
    before, first = samples(host), lines_in_log(host)
    guesses: Counter[str] = Counter()
    expected: Counter[frozenset[tuple[str, str]]] = Counter()
    for path, times, options, route, method in SENT:
        statuses = send(host, path, times, options)
        assert sum(statuses.values()) == times, path
        guesses += statuses if path == GUESSED else Counter()
        for status, count in statuses.items():
            expected[labels(route=route, method=method, code=status)] += count
    after = settled(host)
    assert gained(before, after, REQUESTS) == expected
    assert gained(before, after, UNPARSED) == {}

    lines = logged(host, first)
    assert len(lines) == sum(expected.values())
    sizes: Counter[str] = Counter()
    for entry in lines:
        sizes[entry["route"]] += entry["bytes"]
    counted = gained(before, after, "lookout_http_response_bytes_total")
    assert {dict(key)["route"]: size for key, size in counted.items()} == sizes

    assert set(guesses) == {"401", "429"}
    refused = gained(before, after, "lookout_http_sign_in_failures_total")
    assert refused == {
        labels(route="private", reason="password"): guesses["401"],
        labels(route="private", reason="limited"): guesses["429"],
    }, "who is asked for a password has not failed yet"


def test_what_clients_send_is_no_label(host: Host) -> None:
    before, first = samples(host), lines_in_log(host)
    payloads = json.dumps([base64.b64encode(payload).decode() for payload in NASTY.values()])
    host.check_output("python3 -c %s %s", SEND_RAW, payloads)
    after = settled(host)
    written = logged(host, first)
    assert len(NASTY) / 2 < len(written) <= len(NASTY), "a client adds no line of its own"
    assert sum(gained(before, after, REQUESTS).values()) == len(written)
    assert gained(before, after, UNPARSED) == {}
    for metric, series in after.items():
        for key in map(dict, series):
            assert key.get("route", "other") in ROUTES, metric
            assert key.get("method", "other") in METHODS, metric
            assert re.fullmatch(r"[1-5]\d\d", key.get("code", "200")), metric


def test_times_fall_into_their_buckets(host: Host) -> None:
    before, first = samples(host), lines_in_log(host)
    send(host, "/app/wait/40", 10)
    send(host, "/app/wait/300", 6)
    send(host, "/app/wait/2300", 4)
    after = settled(host)
    times = [entry["request_time"] for entry in logged(host, first)]
    assert len(times) == 20
    buckets = gained(before, after, "lookout_http_request_duration_seconds_bucket")
    edges = {dict(key)["le"]: count for key, count in buckets.items()}
    for edge in ("0.05", "0.25", "0.5", "1", "2", "3", "10"):
        assert edges.get(edge, 0) == sum(time <= float(edge) for time in times), edge
    assert edges["2"] == 16
    assert edges["+Inf"] == 20
    (sum_of_times,) = gained(before, after, "lookout_http_request_duration_seconds_sum").values()
    assert sum_of_times == pytest.approx(sum(times), abs=0.01)


def test_an_answer_within_a_millisecond_is_in_the_first_bucket(host: Host) -> None:
    """mtail 3.0.0~rc50 would put a zero into no bucket at all."""
    before, first = samples(host), lines_in_log(host)
    # nginx' own redirect to /app/
    send(host, "/app", 20)
    after = settled(host)
    assert 0.0 in [entry["request_time"] for entry in logged(host, first)]
    buckets = gained(before, after, "lookout_http_request_duration_seconds_bucket")
    edges = {dict(key)["le"]: count for key, count in buckets.items()}
    (count,) = gained(before, after, "lookout_http_request_duration_seconds_count").values()
    assert count == edges["+Inf"] == edges["10"] == 20


def test_what_is_no_answer_of_the_application_is_not_timed(host: Host) -> None:
    before = samples(host)
    write_lines(host, line(status=101, request_time=3600.5), line(status=408, request_time=60.001))
    after = settled(host)
    assert sum(gained(before, after, REQUESTS).values()) == 2
    assert gained(before, after, "lookout_http_request_duration_seconds_count") == {}


def test_a_request_without_a_route_counts_as_other(host: Host) -> None:
    before = samples(host)
    write_lines(
        host, line(route="", method="", status=400, request_time="X").replace('"X"', "0.000")
    )
    counted = {labels(route="other", method="other", code="400"): 1}
    assert gained(before, settled(host), REQUESTS) == counted


def test_lines_of_another_form_are_counted_as_that(host: Host) -> None:
    wrong = [
        "no JSON",
        "{}",
        line()[:40],
        line(route='a "very" odd name'),
        line(route="x" * 65),
        line(status="200"),
        line(request_time="0.012"),
        " " + line(),
        line().replace('"level"', '"niveau"'),
    ]
    before = samples(host)
    write_lines(host, *wrong)
    after = settled(host)
    assert gained(before, after, REQUESTS) == {}
    assert list(gained(before, after, UNPARSED).values()) == [len(wrong)]


def test_nothing_is_lost_or_counted_twice_by_the_rotation_of_the_stack(host: Host) -> None:
    """Role base copies and truncates."""
    before = total(host)
    send(host, "/app/status/200", 11)
    assert counts(host, before + 11)
    # Of one day logrotate keeps one.
    host.check_output(f"rm -f {LOG}-* && logrotate --force /etc/logrotate.d/lookout")
    assert lines_in_log(host) == 0
    assert counts(host, before + 11)
    send(host, "/app/status/200", 30)
    assert counts(host, before + 41)


def nginx_workers(host: Host) -> set[str]:
    main = host.check_output("systemctl show --property=MainPID --value nginx")
    return set(host.run(f"pgrep --parent {main}").stdout.split())


def test_nothing_is_lost_or_counted_twice_when_the_log_is_renamed(host: Host) -> None:
    """A reload and no reopen: the workers, who reopen, may not enter the folder.

    Until the former workers have gone they write to the renamed file.
    """
    before = total(host)
    send(host, "/app/status/200", 5)
    assert counts(host, before + 5)
    host.check_output("printf %%s %s > /root/rename.conf", RENAME)
    former = nginx_workers(host)
    host.check_output("logrotate --force --state /root/rename.state /root/rename.conf")
    assert wait_for(lambda: nginx_workers(host) and not former & nginx_workers(host))
    assert lines_in_log(host) == 0
    send(host, "/app/status/200", 7)
    assert counts(host, before + 12)
    host.check_output(f"rm {LOG}.1")


def test_a_restart_does_not_count_old_lines(host: Host) -> None:
    send(host, "/app/status/200", 3)
    assert total(host) > 0
    host.check_output(f"systemctl restart {UNIT}")
    assert counts(host, 0)
    send(host, "/app/status/200", 4)
    assert counts(host, 4)
