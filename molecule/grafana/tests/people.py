"""The directory of the scenario: who is in it, and how a test changes it and breaks it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hosts import connect, wait_for
from testinfra.host import Host

UNIT = "slapd.service"
BASE = "dc=example,dc=com"
BIND_DN = f"cn=reader,{BASE}"
BIND_PASSWORD = "reader-of-the-directory"  # noqa: S105
LDAPMODIFY = "ldapmodify -Q -Y EXTERNAL -H ldapi:///"


def password_of(uid: str) -> str:
    return f"{uid}-of-the-directory"


def person(uid: str) -> str:
    return f"uid={uid},ou=people,{BASE}"


def group(name: str) -> str:
    return f"cn={name},ou=groups,{BASE}"


def directory() -> Host:
    return connect("directory")


def change(ldif: str) -> None:
    """Change entries as the directory's root."""
    directory().check_output(f"printf '%%s\\n' %s | {LDAPMODIFY}", ldif)


def membership(uid: str, name: str, verb: str) -> str:
    return f"dn: {group(name)}\nchangetype: modify\n{verb}: member\nmember: {person(uid)}\n\n"


@contextlib.contextmanager
def moved(uid: str, origin: str, target: str = "") -> Iterator[None]:
    """Somebody is in another group for a while, or in none."""
    there = membership(uid, origin, "delete")
    back = membership(uid, origin, "add")
    if target:
        there += membership(uid, target, "add")
        back += membership(uid, target, "delete")
    change(there)
    try:
        yield
    finally:
        change(back)


@contextlib.contextmanager
def absent(uid: str, name: str) -> Iterator[None]:
    """Somebody has left: the entry is gone for a while, and the membership with it."""
    entry = directory().check_output(
        f"ldapsearch -LLL -Q -Y EXTERNAL -H ldapi:/// -o ldif-wrap=no -b {person(uid)} '(uid=*)'"
        " objectClass uid cn givenName sn mail userPassword"
    )
    change(f"dn: {person(uid)}\nchangetype: delete\n")
    try:
        yield
    finally:
        head, _, rest = entry.partition("\n")
        change(f"{head}\nchangetype: add\n{rest}\n\n{membership(uid, name, 'add')}")


def answers() -> bool:
    """The directory does TLS with somebody: it runs, and is not merely started."""
    asked = "LDAPTLS_CACERT=/etc/lookout/tls/ca.pem ldapwhoami -x -H ldaps://directory"
    bound = directory().run(f"timeout 5 sh -c '{asked} -D {BIND_DN} -w {BIND_PASSWORD}'")
    return bool(bound.rc == 0)


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """Nobody listens."""
    host = directory()
    host.check_output(f"systemctl stop {UNIT}")
    try:
        yield
    finally:
        host.check_output(f"systemctl start {UNIT}")
        assert wait_for(answers)


@contextlib.contextmanager
def mute() -> Iterator[None]:
    """The kernel takes connections, and slapd says nothing: a hung server, a dead disk."""
    host = directory()
    pid = host.check_output(f"systemctl show --property=MainPID --value {UNIT}")
    host.check_output(f"kill -STOP {pid}")
    try:
        yield
    finally:
        host.check_output(f"kill -CONT {pid}")
        assert wait_for(answers)


@contextlib.contextmanager
def impostor() -> Iterator[None]:
    """The directory's certificate is one that nobody signed but itself."""
    host = directory()
    host.check_output(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=directory -addext subjectAltName=DNS:directory"
        " -keyout /etc/ldap/own.key -out /etc/ldap/own.pem"
        " && chown openldap /etc/ldap/own.key"
    )
    certificate("/etc/ldap/own.pem", "/etc/ldap/own.key")
    try:
        yield
    finally:
        certificate("/etc/lookout/tls/host/fullchain.pem", "/etc/lookout/tls/host/privkey.pem")
        assert wait_for(answers)


def certificate(file: str, key: str) -> None:
    """Have slapd show another certificate; it reads it when it starts."""
    change(
        "dn: cn=config\nchangetype: modify\n"
        f"replace: olcTLSCertificateFile\nolcTLSCertificateFile: {file}\n-\n"
        f"replace: olcTLSCertificateKeyFile\nolcTLSCertificateKeyFile: {key}\n"
    )
    # systemd refuses what is started more than five times in ten seconds.
    directory().check_output(f"systemctl reset-failed {UNIT}; systemctl restart {UNIT}")


@contextlib.contextmanager
def reader_password(word: str) -> Iterator[None]:
    """The account that Grafana looks people up with has another password."""
    replace = f"dn: {BIND_DN}\nchangetype: modify\nreplace: userPassword\nuserPassword: "
    change(replace + word)
    try:
        yield
    finally:
        change(replace + BIND_PASSWORD)
