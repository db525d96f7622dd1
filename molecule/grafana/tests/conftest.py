"""Grafana of each site in turn, and which Grafana that is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from grafana import ADMIN, SIGN_IN, SITES, Grafana, secret
from hosts import connect, put
from testinfra.host import Host

WHICH = pytest.StashKey[list[str]]()


def site(host: Host) -> Grafana:
    return Grafana(
        host=host,
        name=host.check_output("hostname"),
        address=host.check_output("hostname -I").split()[0],
        ca=host.file("/etc/lookout/tls/ca.pem").content_string,
    )


@pytest.fixture(scope="module")
def grafana(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Grafana:
    file = tmp_path_factory.mktemp("curl") / Path(SIGN_IN).name
    file.write_text(f'user = "{ADMIN}:{secret("grafana_admin")}"\n', encoding="utf-8")
    put(host, file)
    host.check_output(f"chmod 600 {SIGN_IN}")
    return site(host)


@pytest.fixture(scope="session", autouse=True)
def which(request: pytest.FixtureRequest) -> None:
    """On which Grafana the tests run: the real one, or its double."""
    folder = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], ".cache/grafana/repository")
    kind = json.loads((folder / "repository.json").read_text(encoding="utf-8"))["kind"]
    request.config.stash[WHICH] = [
        f"{name}: Grafana {site(connect(name)).visitor().get('/api/health')['version']} ({kind})"
        for name in SITES
    ]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash.get(WHICH, []):
        terminalreporter.write_line(line)
