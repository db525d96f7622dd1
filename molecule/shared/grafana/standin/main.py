"""The command line: `grafana server …` and the part of `grafana cli …` that a role needs."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from . import (
    VERSION,
    api_admin,
    api_folders,
    api_service_accounts,
    api_sources,
    api_users,
    provisioning,
)
from .accounts import Accounts
from .app import App
from .database import Database
from .folders import Folders
from .log import LOG as LINES
from .log import Logger
from .metrics import Metrics
from .settings import RefusedError, Settings, load
from .sources import Sources
from .web import Server, write_pid

LOG = Logger("server")
ENDPOINTS = (
    api_admin,
    api_folders,
    api_service_accounts,
    api_sources,
    api_users,
)  # their routes are entered when they are imported


def arguments(given: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the `cfg:…` arguments."""
    parser = argparse.ArgumentParser(prog="grafana", allow_abbrev=False)
    parser.add_argument("--version", "-v", action="version", version=f"grafana version {VERSION}")
    parser.add_argument("command", choices=("server", "cli"))
    for name in ("config", "homepath", "pidfile", "packaging", "pluginsDir", "configOverrides"):
        parser.add_argument(f"--{name}", f"-{name}", default="")
    parser.add_argument("--password-from-stdin", action="store_true")
    parser.add_argument("--user-id", type=int, default=1)
    found, rest = parser.parse_known_args(given)
    overrides = [a for a in [*rest, *found.configOverrides.split()] if a.startswith("cfg:")]
    words = [a for a in rest if not a.startswith("cfg:")]
    if found.command == "server" and words:
        parser.error(f"unknown arguments: {' '.join(words)}")
    found.words = words
    return found, overrides


def read(found: argparse.Namespace, overrides: list[str]) -> Settings:
    home = Path(found.homepath or os.environ.get("GF_PATHS_HOME") or ".").resolve()
    try:
        return load(home, Path(found.config) if found.config else None, overrides, os.environ)
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"failed to parse {found.config or home!s}: {error}") from None


def start(settings: Settings) -> tuple[App, Server]:
    """Everything up to the open port; RefusedError or ProvisioningError where Grafana ends."""
    try:
        LINES.set_up(
            settings.text("log", "mode", "console file"), settings.text("log", "level", "info"),
            settings.path("paths", "logs"),
        )  # fmt: skip
    except OSError as error:
        raise RefusedError(f"failed to initialise logging: {error}") from None
    Logger("settings").info("Starting Grafana stand-in", version=VERSION, path_data=settings.data)
    database = Database(settings)
    accounts = Accounts(settings, database)
    sources = Sources(database, accounts.secret_key)
    folders = Folders(database)
    provisioning.provision_sources(settings.provisioning / "datasources", sources)
    dashboards = provisioning.Dashboards(settings.provisioning / "dashboards", folders)
    app = App(settings, database, accounts, sources, folders, dashboards, Metrics(database))
    server = Server(app)
    dashboards.load()
    return app, server


def serve(found: argparse.Namespace, overrides: list[str]) -> int:
    try:
        settings = read(found, overrides)
        write_pid(found.pidfile)
        app, server = start(settings)
    except (RefusedError, provisioning.ProvisioningError) as error:
        LOG.error("Failed to start", error=error)
        sys.stderr.write(f"Error: ✗ {error}\n")
        return 1
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True
    )
    thread.start()
    app.dashboards.poll()
    Logger("http.server").info(
        "HTTP Server Listen", address=f"{server.server_address[0]}:{server.server_address[1]}",
        protocol="https" if server.tls else "http", subUrl=settings.sub_path,
    )  # fmt: skip
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    LOG.info("Shutdown started", reason="System signal: terminated")
    app.dashboards.stop()
    server.shutdown()
    if found.pidfile:
        Path(found.pidfile).unlink(missing_ok=True)
    return 0


def reset_password(found: argparse.Namespace, overrides: list[str]) -> int:
    if found.words[:2] != ["admin", "reset-admin-password"]:
        sys.stderr.write("the stand-in's cli has only: admin reset-admin-password\n")
        return 1
    password = sys.stdin.readline().rstrip("\n") if found.password_from_stdin else found.words[-1]
    try:
        database = Database(read(found, overrides))
        user = database.one('SELECT * FROM "user" WHERE id = ?', found.user_id)
        if len(password) < 4 or len(found.words) < 3 - found.password_from_stdin:
            raise RefusedError("new password too short")
        if not user:
            raise RefusedError(f"could not read user from database: {found.user_id}")
        Accounts.set_password_of(database, found.user_id, password)
    except RefusedError as error:
        sys.stderr.write(f"Error: ✗ {error}\n")
        return 1
    sys.stdout.write("\nAdmin password changed successfully ✔\n")
    return 0


def main() -> int:
    found, overrides = arguments(sys.argv[1:])
    return (
        serve(found, overrides) if found.command == "server" else reset_password(found, overrides)
    )
