"""Every query of every dashboard has series on the real site; no fault is on yet."""

from __future__ import annotations

import sys
from pathlib import Path

from dashboard_gate import dead_queries
from hosts import connect
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "contracts"))
from dashboard_queries import dashboards, queries

TLS = "/etc/lookout/tls"


def test_every_query_returns_series_or_has_a_reason(mon: Host) -> None:
    # Somebody uses the site: what nobody asked for is not counted.
    for path in ("prometheus/api/v1/query?query=up", "alertmanager/", "prometheus/nosuch"):
        connect("web").check_output(
            f"curl -sS --max-time 10 -o /dev/null --cacert {TLS}/ca.pem"
            f" --user 'alice:correct horse battery' 'https://mon/{path}'"
        )
    asked = [query for dashboard in dashboards() for query in queries(dashboard)]
    assert len(asked) > 100
    found = dead_queries(mon, "default", asked)
    assert not found, "\n".join(found)
