"""Bugsink of each site in turn."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest
from errors import PASSWORD_FILE, Bugsink, secret
from hosts import host_names, put
from play import converge
from testinfra.host import Host


@pytest.fixture(scope="module")
def bugsink(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Bugsink:
    file = tmp_path_factory.mktemp("password") / Path(PASSWORD_FILE).name
    file.write_text(secret("bugsink_admin"), encoding="utf-8")
    put(host, file)
    host.check_output(f"chmod 600 {PASSWORD_FILE}")
    return Bugsink(host=host, name=host.check_output("hostname"))


@pytest.fixture(scope="session")
def shop() -> CompletedProcess[str]:
    """A project more, on both at once."""
    done = converge(*host_names(), bugsink_projects=[{"name": "Web shop", "events": 6}])
    assert done.returncode == 0, done.stdout
    return done
