"""`playbooks/audit.yml` is quiet on the site as it was built, and names what was added by hand."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import connect
from play import playbook

CANARY = "$2y$05$canary4711"
# What is added on a host: how, how it is taken away, and the row that tells (role, kind, name)
ADDED = [
    (
        "web",
        "echo 'toor:x:0:0::/root:/bin/bash' >>/etc/passwd",
        "sed -i /^toor:/d /etc/passwd",
        ("base", "account", "toor"),
    ),
    (
        "web",
        "echo 'deploy ALL=(root) NOPASSWD: /usr/bin/true' >/etc/sudoers.d/deploy",
        "rm /etc/sudoers.d/deploy",
        ("base", "sudo", "deploy"),
    ),
    (
        "web",
        "gpasswd --add sync sudo",
        "gpasswd --delete sync sudo",
        ("base", "group", "sync in sudo"),
    ),
    (
        "web",
        "nft add rule inet lookout input tcp dport 4711 accept",
        "systemctl restart lookout-firewall",
        ("firewall", "firewall", "rule set"),
    ),
    (
        "mon",
        f"echo 'mallory:{CANARY}' >>/etc/nginx/config/users",
        "sed -i /^mallory:/d /etc/nginx/config/users",
        ("nginx", "user", "mallory"),
    ),
    (
        "mon",
        "chmod o+r /etc/lookout/tls/client/privkey.pem",
        "chmod o-r /etc/lookout/tls/client/privkey.pem",
        ("tls", "key", "/etc/lookout/tls/client/privkey.pem"),
    ),
]


def audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return playbook("playbooks/audit.yml", *arguments)


def report(folder: Path) -> tuple[str, dict[str, Any]]:
    """The report of this run, as text and as JSON, which nobody else may read."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    text, data = (folder / f"audit-{today}.{kind}" for kind in ("txt", "json"))
    for path in (text, data):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return text.read_text("utf-8"), json.loads(data.read_text("utf-8"))


def found(data: dict[str, Any]) -> set[tuple[str, ...]]:
    """Who is flagged."""
    keys = ("host", "role", "kind", "name")
    return {tuple(row[key] for key in keys) for row in data["rows"] if row["finding"]}


def test_the_site_as_it_was_built_is_quiet() -> None:
    # In the folder of the inventory, which is read as one again by the next run.
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory/reports"
    done = audit()
    assert done.returncode == 0, done.stdout[-3000:]
    text, data = report(folder)
    assert "rows need a look" in done.stdout
    assert data["findings"] == 0
    shown = {(row["host"], row["kind"], row["name"]) for row in data["rows"]}
    assert {
        ("mon", "user", "alice"),
        ("mon", "route", "/prometheus/"),
        ("mon", "port", "443/tcp"),
        ("mon", "certificate", "/etc/lookout/tls/client/fullchain.pem"),
        ("web", "certificate", "/etc/lookout/tls/ca.pem"),
        ("web", "sudo", "%sudo"),
    } <= shown
    assert all(row["name"] in text for row in data["rows"])


@pytest.fixture
def rogues() -> Iterator[None]:
    """What somebody added by hand, for the time of a test."""
    for host, add, _, _ in ADDED:
        connect(host).check_output(add)
    yield
    for host, _, remove, _ in ADDED:
        connect(host).check_output(remove)


@pytest.mark.usefixtures("rogues")
def test_what_was_added_by_hand_is_named(tmp_path: Path) -> None:
    """Beside a host that does not answer."""
    ghost = tmp_path / "ghost.yml"
    variables = {"ansible_connection": "podman", "ansible_host": "there-is-none"}
    ghost.write_text(json.dumps({"all": {"hosts": {"ghost": variables}}}), "utf-8")
    done = audit("-i", str(ghost), "-e", f"audit_dir={tmp_path}")
    assert done.returncode not in (0, 4)
    text, data = report(tmp_path)
    expected = {(host, *row) for host, _, _, row in ADDED}
    assert found(data) == expected | {("ghost", "-", "host", "ghost")}
    assert data["findings"] == len(expected) + 1
    for host, _, _, (role, kind, name) in ADDED:
        assert f"{host}, {role}, {kind} {name}:" in text
        assert f"{host}, {role}, {kind} {name}:" in done.stdout
    # A hash is nobody's business, and allowed is not the same as unseen.
    assert "canary" not in done.stdout + text + json.dumps(data)
    allowed = audit(
        "--limit", "web", "-e", f"audit_dir={tmp_path}", "-e", "audit_findings_allowed=true"
    )
    assert allowed.returncode == 0, allowed.stdout[-3000:]
    assert {host for host, *_ in found(report(tmp_path)[1])} == {"web"}
