"""The stand-in for Grafana: it reads what Grafana reads and refuses what Grafana refuses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from grafana import repository
from grafana.standin import (
    accounts,
    dashboards,
    ini,
    main,
    provisioning,
)
from grafana.standin import settings as settings_module

HOME = repository.HERE / "package/usr/share/grafana"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration that starts, to break one thing at a time."""
    for folder in ("datasources", "dashboards", "json"):
        (tmp_path / "provisioning" / folder).mkdir(parents=True)
    (tmp_path / "grafana.ini").write_text(
        f"""[server]
http_addr = 127.0.0.1
http_port = {free_port()}
[paths]
data = {tmp_path}/data
logs = {tmp_path}/log
provisioning = {tmp_path}/provisioning
[log]
mode = file
""",
        encoding="utf-8",
    )
    return tmp_path


def add(site: Path, text: str) -> None:
    with (site / "grafana.ini").open("a", encoding="utf-8") as file:
        file.write(text)


def arguments(site: Path, *more: str) -> list[str]:
    return ["server", f"--config={site}/grafana.ini", f"--homepath={HOME}", *more]


def start(site: Path, *more: str) -> None:
    """Start up to the open port and close it; raises what Grafana would end with."""
    settings = main.read(*main.arguments(arguments(site, *more)))
    _, server = main.start(settings)
    server.server_close()


def log(site: Path) -> str:
    return (site / "log/grafana.log").read_text(encoding="utf-8")


# --- grafana.ini ---


def test_layers(site: Path) -> None:
    add(site, "[security]\nadmin_user = file\nadmin_password =\n")
    given = [
        "cfg:default.paths.data=/default",
        "cfg:default.paths.plugins=/plugins",
        "cfg:users.x=1",
        "cfg:log.level=warn",
    ]
    environment = {"GF_SECURITY_ADMIN_EMAIL": "env@localhost", "GF_UNKNOWN_KEY": "1"}
    read = settings_module.load(HOME, site / "grafana.ini", given, environment)
    assert read.text("paths", "data") == f"{site}/data", "the file is above cfg:default"
    assert read.text("paths", "plugins") == "/plugins"
    assert read.text("users", "x") == "", "only what a file has"
    assert read.text("log", "level") == "warn"
    assert read.text("security", "admin_user") == "file"
    assert read.text("security", "admin_password") == "admin", "empty leaves the default"
    assert read.text("security", "admin_email") == "env@localhost"
    assert read.text("server", "root_url").startswith("http://localhost:"), (
        "%(domain)s is filled in"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no pair\n", "key-value delimiter not found"),
        ("[server]\nhttp_port = abc\nroot_url = http://g/\n", "failed to open listener"),
        ("[server]\nhttp_port = abc\n", "invalid root_url"),
        ("[server]\nmin_tls_version = TLS1.0\n", "TLS version not configured correctly"),
        ("[server]\nprotocol = https\n", "cert_file cannot be empty"),
        ("[server]\nprotocol = https\ncert_file = /none\ncert_key = /none\n", "cannot find SSL"),
        ("[server]\nroot_url = http://[::1\n", "invalid root_url"),
        ("[database]\ntype = oracle\n", "unknown database type"),
        ("[auth]\nlogin_maximum_lifetime_duration = long\n", "invalid duration"),
        ("[unified_alerting]\nenabled = perhaps\n", "should be either true or false"),
        ("[security]\nsecret_key = $__file{/none/key}\n", "expanding security.secret_key"),
    ],
)
def test_settings_that_end_it(site: Path, text: str, message: str) -> None:
    add(site, text)
    with pytest.raises(ini.RefusedError, match=message):
        start(site)


def test_key_that_is_no_key_ends_it(site: Path) -> None:
    (site / "key").write_text("no key", encoding="ascii")
    add(site, f"[server]\nprotocol = https\ncert_file = {site}/key\ncert_key = {site}/key\n")
    with pytest.raises(ini.RefusedError, match="could not load SSL certificate"):
        start(site)


def test_missing_configuration_ends_it(site: Path) -> None:
    (site / "grafana.ini").unlink()
    with pytest.raises(ini.RefusedError, match="No such file"):
        start(site)


def test_unknown_protocol_is_plain_http(site: Path) -> None:
    """As in Grafana: nobody is told, so the role has to look."""
    add(site, "[server]\nprotocol = htps\n")
    start(site)


# --- the process ---


def run(site: Path) -> subprocess.Popen[str]:
    code = "import sys; from standin.main import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments(site, f"--pidfile={site}/pid")],
        env={**os.environ, "PYTHONPATH": str(repository.HERE)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_process_ends_with_1_and_says_why(site: Path) -> None:
    add(site, "no pair\n")
    said = run(site).communicate(timeout=20)
    assert "key-value delimiter not found: no pair" in said[1]


def test_process_stops_on_sigterm(site: Path) -> None:
    process = run(site)
    deadline = time.monotonic() + 20
    while "HTTP Server Listen" not in (log(site) if (site / "log/grafana.log").exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (site / "pid").read_text("ascii") == str(process.pid)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 0
    assert "admin" not in log(site)


# --- provisioning ---

SOURCE = "{{name: {name}, uid: {uid}, type: prometheus, url: 'http://h:9', isDefault: {default}}}"


def declare(site: Path, *sources: tuple[str, str, bool], head: str = "") -> None:
    items = "".join(
        f"  - {SOURCE.format(name=name, uid=uid, default=str(default).lower())}\n"
        for name, uid, default in sources
    )
    text = f"apiVersion: 1\n{head}datasources:\n{items}"
    (site / "provisioning/datasources/a.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([("a", "one", True), ("b", "two", True)], "Only one datasource per organization"),
        ([("a", "one", False), ("b", "one", False)], "same uid already exists"),
    ],
)
def test_data_sources_that_end_it(
    site: Path, sources: list[tuple[str, str, bool]], message: str
) -> None:
    declare(site, *sources)
    with pytest.raises(provisioning.ProvisioningError, match=message):
        start(site)


def test_yaml_that_is_none_ends_it(site: Path) -> None:
    (site / "provisioning/datasources/a.yaml").write_text("a: [1\n", encoding="utf-8")
    with pytest.raises(provisioning.ProvisioningError, match=r"a\.yaml error"):
        start(site)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{name: a, type: database, options: {path: /x}}", "type database is not supported"),
        ("{name: a}", "path param is not a string"),
        ("{name: a, options: {path: /x}}, {name: a, options: {path: /y}}", "is not unique"),
    ],
)
def test_providers_that_end_it(site: Path, item: str, message: str) -> None:
    (site / "provisioning/dashboards/a.yaml").write_text(
        f"apiVersion: 1\nproviders: [{item}]\n", encoding="utf-8"
    )
    with pytest.raises(provisioning.ProvisioningError, match=message):
        dashboards.providers(site / "provisioning/dashboards")


# --- ldap.toml ---

SERVER = """[[servers]]
host = "127.0.0.1"
search_filter = "(uid=%s)"
search_base_dns = ["dc=example"]
[[servers.group_mappings]]
group_dn = "cn=a"
org_role = "admin"
"""


def change(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (change('"admin"', '"Owner"'), "invalid role value: Owner"),
        (change('["dc=example"]', "[]"), "missing option: search_base_dns"),
        (change('"(uid=%s)"', '""'), "missing option: search_filter"),
        (change("[[servers]]", "[[servers"), "failed to load LDAP config file"),
        (lambda _: "", "no LDAP servers"),
    ],
)
def test_ldap_toml_that_is_wrong_leaves_local_users(
    site: Path, broken: Callable[[str], str], message: str
) -> None:
    (site / "ldap.toml").write_text(broken(SERVER), encoding="utf-8")
    add(site, f"[auth.ldap]\nenabled = true\nconfig_file = {site}/ldap.toml\n")
    settings = main.read(*main.arguments(arguments(site)))
    app, server = main.start(settings)
    server.server_close()
    assert message in log(site)
    assert app.accounts.sign_in("admin", "admin").server_admin
    with pytest.raises(accounts.SignInError, match="unable to create LDAP client"):
        app.accounts.sign_in("ann", "x")
