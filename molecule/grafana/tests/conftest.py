"""Grafana of each site in turn, and which Grafana that is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from grafana import ADMIN, SIGN_IN, SITES, Grafana, secret
from hosts import connect, put
from testinfra.host import Host


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
def which(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say on which Grafana the tests ran: the real one, or its double."""
    file = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], ".cache/grafana/repository")
    kind = json.loads((file / "repository.json").read_text(encoding="utf-8"))["kind"]
    said = [
        f"{name}: Grafana {site(connect(name)).visitor().get('/api/health')['version']} ({kind})"
        for name in SITES
    ]
    yield
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    reporter.write_line("")
    for line in said:
        reporter.write_line(line)
