"""A directory that is down, hangs, is somebody else, or does not know Grafana any more.

Each time: a sign-in fails at once, the log says why, the local admin gets in, nobody gains a
role, no password goes out in the clear; and all is well again when the fault is over.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from faults import SECRETS, assert_only_the_local_admin_gets_in
from grafana import SITES, Grafana
from hosts import put, wait_for
from people import (
    BIND_DN,
    BIND_PASSWORD,
    directory,
    impostor,
    reader_password,
    stopped,
)

HOSTS = SITES
# fault -> what the log says, in one of the ways that it may be said
REASONS = {
    "stopped": r"connection refused",
    "impostor": r"certificate|x509",
    "no TLS": r"tls|handshake|protocol ?error|StartTLS",
    "wrong bind password": r"cannot authenticate admin user|bind",
}


@contextlib.contextmanager
def no_tls() -> Iterator[None]:
    """Something else listens there, which has no TLS and would take a password as it comes."""
    host = directory()
    put(host, Path(__file__).with_name("plain_ldap.py"))
    with stopped():
        host.check_output(
            "systemd-run --quiet --unit plain-ldap --collect --property=RuntimeMaxSec=90"
            " python3 /root/plain_ldap.py"
        )
        ready = "[ $(ss -Hltn 'sport = :389 or sport = :636' | wc -l) -ge 2 ]"
        assert wait_for(lambda: host.run(ready).rc == 0)
        try:
            yield
        finally:
            host.check_output("systemctl stop plain-ldap")


FAULTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "stopped": stopped,
    "impostor": impostor,
    "no TLS": no_tls,
    "wrong bind password": lambda: reader_password("changed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_directory(grafana: Grafana, fault: str) -> None:
    assert_only_the_local_admin_gets_in(grafana, FAULTS[fault](), REASONS[fault])
    if fault == "no TLS":
        heard = directory().file("/root/heard").content
        assert heard, "Grafana did not even ask"
        assert [word for word in SECRETS if word.encode() in heard] == []


def test_every_bind_came_over_tls(grafana: Grafana) -> None:
    """slapd would refuse others: it notes how strong the TLS of a bind was."""
    grafana.signed_in("vera")
    log = directory().check_output("journalctl --unit slapd --lines 200 --output cat")
    strengths = re.findall(r'BIND dn="[^"]+" mech=SIMPLE .*?\bssf=(\d+)', log)
    assert strengths
    assert min(map(int, strengths)) >= 128
    plain = directory().run(f"ldapwhoami -x -H ldap://directory -D {BIND_DN} -w {BIND_PASSWORD}")
    assert "Confidentiality required" in plain.stderr
