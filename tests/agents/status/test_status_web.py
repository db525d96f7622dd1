"""The page, the API and the webhook, asked as the gateway, Prometheus and Alertmanager do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from prometheus_client import CollectorRegistry

from lookout.status import storage
from lookout.status.options import StatusOptions
from lookout.status.service import History
from lookout.status.web.app import application

Ask = Callable[..., Any]
PATHS = ["/", "/task/web", "/report/orders", "/report/orders.csv", "/api/v1/tasks", "/metrics"]
ALIVE = {"status": "firing", "labels": {"alertname": "Watchdog"}}


@pytest.mark.parametrize("path", [*PATHS, "/nowhere", "/api/v1/nowhere", "/task/none"])
@pytest.mark.usefixtures("past")
def test_every_answer_forbids_scripts_and_frames(ask: Ask, path: str) -> None:
    answer = ask(path)
    assert answer.status == (404 if "no" in path.rpartition("/")[2] else 200)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.usefixtures("past")
def test_the_page_says_how_things_are(ask: Ask) -> None:
    page = ask("/", x_forwarded_user="alice<script>").text
    assert "Nothing is known of 2 of 3 tasks" in page
    assert "75.00 % worked" in page
    assert "signed in as <b>alice&lt;script&gt;</b>" in page
    assert "&lt;b&gt;gone&lt;/b&gt;" in page, "a message is text, whatever stands in it"
    assert len(re.findall(r'<rect class="day ', page)) == 3 * 90
    assert page.count('class="spark"') == 1


@pytest.mark.parametrize("path", ["/", "/task/web", "/report/orders", "/nowhere"])
@pytest.mark.usefixtures("past")
def test_a_page_needs_nothing_from_elsewhere(ask: Ask, path: str) -> None:
    """No foreign asset, no script, no style in the page, which the policy would refuse."""
    page = ask(path).text
    assert re.findall(r'(?:src|href)="(?:https?:)?/', page) == []
    assert "<script" not in page
    assert "style=" not in page
    style = re.search(r'href="(?:\.\./)*(static/style\.css)\?', page)
    assert style
    assert "url(" not in ask(f"/{style[1]}").text


@pytest.mark.usefixtures("past")
def test_links_lead_back_from_every_depth(ask: Ask) -> None:
    assert 'href="./"' in ask("/").text
    assert 'href="../"' in ask("/task/web").text


@pytest.mark.parametrize("path", ["/report/orders/", "/api/v1/tasks/", "/metrics/"])
def test_nobody_is_led_past_the_gateways_path(ask: Ask, path: str) -> None:
    assert ask(path).status == 404


@pytest.mark.usefixtures("past")
def test_a_report_is_a_table_and_a_file_for_spreadsheets(ask: Ask) -> None:
    assert "<td>=1+2</td>" in ask("/report/orders").text
    answer = ask("/report/orders.csv?run=1")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="orders-2026-')
    assert answer.text == "\ufeffwho,many,paid\r\nAnn,2,\r\n'=1+2,1,True\r\n"
    assert "statement timeout" in ask("/report/slow").text
    assert ask("/report/orders?run=x").status == 400
    assert ask("/report/orders?run=2").status == 404


@pytest.mark.usefixtures("past")
def test_the_api_answers_in_problems(ask: Ask) -> None:
    answer = ask("/api/v1/tasks/none")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {"title": "Not Found", "status": 404, "detail": "there is no such task"}
    assert ask("/api/v1/tasks/web?runs=0").status == 400
    assert ask("/api/v1/incidents?open=maybe").status == 400
    assert ask("/api/v1/tasks", "POST").status == 405
    assert len(ask("/api/v1/tasks/web?runs=5").json["runs"]) == 5
    (incident,) = ask("/api/v1/incidents?open=false").json["incidents"]
    assert incident["failed_runs"] == 3
    assert ask("/api/v1/incidents?open=true").json == {"incidents": []}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps({"alerts": [ALIVE]}), 204),
        (json.dumps({"alerts": [{"labels": {"alertname": "Other"}}, ALIVE]}), 204),
        (json.dumps({"alerts": [{**ALIVE, "status": "resolved"}]}), 422),
        (json.dumps({"alerts": [{"labels": {"alertname": "Other"}, "status": "firing"}]}), 422),
        (json.dumps({"alerts": [1, None, {"labels": 2}]}), 422),
        ("[]", 422),
        ("{", 400),
        ("[" * 100_000, 400),
        ("\xff\xfe", 400),
        ("x" * 300_000, 413),
    ],
)
@pytest.mark.usefixtures("past")
def test_only_the_alert_that_is_waited_for_is_a_heartbeat(
    ask: Ask,
    body: str,
    status: int,
) -> None:
    assert ask("/heartbeat/monitoring", "POST", body.encode("latin-1")).status == status
    seen = re.search(
        r'^status_heartbeat_timestamp_seconds\{heartbeat="monitoring"\} (\S+)$',
        ask("/metrics").text, re.MULTILINE,
    )  # fmt: skip
    assert seen
    assert (float(seen[1]) > 0) == (status == 204)


@pytest.mark.usefixtures("past")
def test_nobody_waits_for_other_heartbeats(ask: Ask) -> None:
    body = json.dumps({"alerts": [ALIVE]}).encode()
    assert ask("/heartbeat/web", "POST", body).status == 404
    assert ask("/heartbeat/monitoring").status == 405


@pytest.mark.usefixtures("past")
def test_prometheus_is_told_of_every_task(ask: Ask) -> None:
    told = ask("/metrics").text
    assert 'status_task_up{task="web"} 1.0' in told
    assert 'status_task_up{task="database"}' not in told, "nobody knows"
    # One that never ran is not late before it had its time.
    never = re.search(r'last_run_timestamp_seconds{task="database"} (\S+)', told)
    assert never
    assert time.time() - float(never[1]) < 60
    assert 'status_task_interval_seconds{task="monitoring"} 300.0' in told
    assert 'status_report_up{report="slow"} 0.0' in told


def test_a_damaged_history_is_set_aside_and_the_page_goes_on(past: Path, ask: Ask) -> None:
    assert ask("/").status == 200
    for suffix in ("-wal", "-shm"):
        past.with_name(past.name + suffix).unlink(missing_ok=True)
    past.write_bytes(b"\xa5" * 20_000)
    page = ask("/")
    assert page.status == 200
    assert "The history was damaged at" in page.text
    assert "Nothing is known of 3 of 3 tasks" in page.text
    assert "status_database_set_aside_files 1.0" in ask("/metrics").text
    assert storage.check(past) == ""


def test_without_a_history_the_page_goes_on(ask: Ask, tmp_path: Path) -> None:
    """The folder is empty, and stays so: as where the disk cannot be read."""
    (tmp_path / "status.db").mkdir()
    page = ask("/")
    assert page.status == 200
    assert "Not saved: the history cannot be read" in page.text
    assert ask("/task/web").status == 503
    answer = ask("/api/v1/tasks")
    assert answer.status == 503
    assert answer.json["status"] == 503
    assert 'status_database_errors_total{what="read"}' in ask("/metrics").text


@pytest.mark.usefixtures("past")
def test_the_api_keeps_what_it_promises(options: StatusOptions) -> None:
    """Schemathesis makes requests of the API's own description, good and bad ones."""
    registry = CollectorRegistry()
    app = application(options, History(options.database, registry), registry)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    asked: dict[int, int] = {}

    for operation in schema.get_all_operations():

        @settings(max_examples=40, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def holds(case: Any) -> None:
            answer = case.call(base_url="http://testserver/api/v1")
            asked[answer.status_code] = asked.get(answer.status_code, 0) + 1
            case.validate_response(answer)

        holds()
    assert set(asked) <= {200, 400, 404, 405}, asked
    assert sum(asked.values()) > 50
