"""Every query of the dashboard about databases has series, with both releases' PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_gate import dead_queries
from databases import PRIMARIES, begin, end_all, psql
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "contracts"))
from dashboard_queries import dashboards, queries

HOSTS = PRIMARIES


@pytest.fixture(scope="module", autouse=True)
def work(host: Host) -> Iterator[None]:
    """A table of an application, and statements that are no faults."""
    psql(host, "create table pieces (id int); insert into pieces select generate_series(1, 100)")
    begin(host, "select pg_sleep(0.1), count(*) from pieces;\n" * 300)
    yield
    end_all(host)
    psql(host, "drop table pieces")


def test_every_query_returns_series(host: Host) -> None:
    asked = [
        query
        for dashboard in dashboards()
        if dashboard["uid"] == "postgresql"
        for query in queries(dashboard)
    ]
    assert len(asked) > 20
    found = dead_queries(host, "postgres_exporter", asked)
    assert not found, "\n".join(found)
