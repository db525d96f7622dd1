"""Gateway, ports, certificates: each fault is flagged, and its absence is not."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from plugins.filter.audit_services import FilterModule

filters = FilterModule().filters()
HASH, OTHER = "$2y$08$canary-one", "$2y$08$canary-two"


def flagged(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows if row.get("finding")]


@pytest.mark.parametrize(
    ("live", "wrong", "words"),
    [
        (f"alice:{HASH}\n", [], ""),
        (f"alice:{HASH}\nmallory:{OTHER}\n", ["mallory"], "does not name mallory"),
        ("", ["alice"], "nginx does not"),
        (f"alice:{OTHER}\n", ["alice"], "is not that of nginx_users"),
    ],
)
def test_users_of_the_gateway_are_compared(live: str, wrong: list[str], words: str) -> None:
    rows = filters["audit_gateway_users"](live, {"alice": HASH})
    assert flagged(rows) == wrong
    assert any(words in row["finding"] for row in rows)
    assert "canary" not in str(rows)


def route(**about: Any) -> dict[str, Any]:
    return {"name": "shop", "path": "/shop/", "host": "app1", "file": "/r/app1/shop.yml", **about}


@pytest.mark.parametrize(
    ("sign_in", "whom"),
    [
        ("basic", "everybody with the gateway's password"),
        ("own", "everybody whom the service's own sign-in lets in"),
        ("none", "everybody, without a password"),
    ],
)
def test_routes_say_whom_they_open_to(sign_in: str, whom: str) -> None:
    (row,) = filters["audit_routes"]([route(sign_in=sign_in)], ["app1"])
    assert row["may"] == f"opens shop on app1 to {whom}"
    assert flagged([row]) == []


def test_route_to_a_host_that_left_is_flagged() -> None:
    routes = [route(), {"problem": "it holds no route", "file": "/r/app2/x.yml"}]
    assert flagged(filters["audit_routes"](routes, ["app2"])) == ["/shop/", "/r/app2/x.yml"]


OPENINGS = [
    {"name": "http", "port": 80, "protocol": "tcp", "sources": ["any"]},
    {"name": "db", "port": 5432, "sources": ["application", "192.0.2.0/24"]},
]


def test_ports_say_whom_they_are_open_to() -> None:
    rows = filters["audit_firewall"](OPENINGS, ["22"], ['iifname "wg0" accept'], {"rc": 0})
    assert [(row["name"], row["may"]) for row in rows] == [
        ("80/tcp", "open to everybody (http)"),
        ("5432/tcp", "open to application, 192.0.2.0/24 (db)"),
        ("22/tcp", "open to everybody (ssh)"),
        ('iifname "wg0" accept', "what this line of nft says"),
    ]
    assert flagged(rows) == []


def test_other_rules_in_force_and_no_firewall_are_flagged() -> None:
    status = {"rc": 1, "stderr": "the rule set in force differs"}
    rows = filters["audit_firewall"](OPENINGS, [], [], status)
    assert flagged(rows) == ["rule set"]
    assert "the rule set in force differs" in rows[-1]["finding"]
    (off,) = filters["audit_firewall"]([], [], [], {})
    assert "is off" in off["finding"]


def pem(*names: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2026, 1, 2))
        .not_valid_after(datetime.datetime(2026, 12, 31))
    )
    if names:
        found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(found, critical=False)
    text = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return text.decode()


def slurped(source: str, text: str) -> dict[str, str]:
    return {"source": source, "content": base64.b64encode(text.encode()).decode()}


def test_certificates_have_names_and_dates() -> None:
    files = [slurped("/tls/host/fullchain.pem", pem("a", "b")), slurped("/tls/ca.pem", pem())]
    first, second = filters["audit_certificates"](files, "Renew it.")
    assert first["may"] == "speaks for a, b"
    assert (first["since"], first["until"], first["renew"]) == (
        "2026-01-02",
        "2026-12-31",
        "Renew it.",
    )
    assert second["may"] == "speaks for CN=a CA"
    assert flagged([first, second]) == []


def test_public_certificates_are_compared_by_the_name_of_their_folder() -> None:
    text = pem("a")
    files = [slurped(f"/live/{name}/cert.pem", text) for name in ("shop.example", "old.example")]
    rows = filters["audit_certificates"](files, "Renew.", ["shop.example"], "Delete it.")
    assert [row["name"] for row in rows] == ["shop.example", "old.example"]
    assert flagged(rows) == ["old.example"]
    assert rows[1]["finding"] == "It is not in the inventory. Delete it."


def test_file_without_a_certificate_is_flagged() -> None:
    rows = filters["audit_certificates"]([slurped("/tls/host/fullchain.pem", "no")], "Renew it.")
    assert "holds no certificate" in rows[0]["finding"]


def key(mode: str, uid: int = 0, group: str = "lookout-tls") -> dict[str, Any]:
    gid = 0 if group == "root" else 990
    about = {"path": "/k", "mode": mode, "uid": uid, "gid": gid, "pw_name": "u", "gr_name": group}
    return {"stat": about}


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (key("0640"), ""),
        (key("0600", group="users"), ""),
        (key("0640", group="root"), ""),
        (key("0644"), "its mode is 0644"),
        (key("0640", uid=7), "it belongs to u"),
        (key("0640", group="users"), "its group is users"),
    ],
)
def test_keys_are_for_root_and_the_group_of_keys(file: dict[str, Any], words: str) -> None:
    (row,) = filters["audit_keys"]([file], "lookout-tls", "lookout-tls:x:990:prometheus,eve")
    assert words in row["finding"]
    assert bool(words) == bool(row["finding"])


def test_keys_name_the_members_of_the_group() -> None:
    (row,) = filters["audit_keys"]([key("0640")], "lookout-tls", "lookout-tls:x:990:prom,eve\n")
    assert row["may"] == "read by root and the group lookout-tls, members: prom, eve"
