"""Both sites know two weeks of a load, and have trained models of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hosts import connect, host_names
from stage import TEXT_FILE, fill, new_token, now, run
from testinfra.host import Host


def prepare(name: str) -> str:
    """Also on hosts that a former run of the tests has left; returns what the training wrote."""
    host = connect(name)
    host.check_output("rm -f /root/jump")
    if not host.file(TEXT_FILE).exists:
        fill(host)
    began = now(host)
    # The query that is wrong fails no unit.
    assert run(host, "train") == 0
    assert run(host, "forecast") == 0
    unit = "lookout-forecaster-train"
    return str(host.check_output(f"journalctl -u {unit} --since @{began} -o cat"))


@pytest.fixture(scope="session", autouse=True)
def trained() -> dict[str, str]:
    """What the first training wrote, by host."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(host_names(), pool.map(prepare, host_names()), strict=True))


@pytest.fixture(scope="module")
def token(host: Host) -> str:
    """A program's token for everything."""
    return new_token(host, "robot")
