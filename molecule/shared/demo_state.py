"""What people would miss if a monitoring host were lost. Runs on that host, as root.

`put` makes some of it and prints the moment from which all of it is there; `read MOMENT` prints
what there was at that moment, by kind, as lines to compare. Standard input has Grafana's password,
or nothing where there is no Grafana.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TLS = Path("/etc/lookout/tls")
PROMETHEUS = "https://127.0.0.1:9090"
GRAFANA = "https://127.0.0.1:3000/grafana"
TEXTFILE = Path("/var/lib/prometheus/node-exporter/rebuild_drill.prom")
STATUS = Path("/var/lib/lookout/status/status.db")
BUGSINK = Path("/var/lib/bugsink/db.sqlite3")
MODELS = Path("/var/lib/lookout/models")
TOKENS = Path("/etc/lookout/forecaster.tokens/tokens.json")
SILENCES = Path("/var/lib/prometheus/alertmanager/silences")
DSN = Path("/etc/lookout/health.credentials/sentry_dsn")
PYTHON = "/opt/lookout/health/current/bin/python"
MARK = "what the rebuild drill looks for"
WAIT_SECONDS = 180.0
QUESTIONS = (
    "rebuild_drill",
    "up",
    'count by (job) ({__name__!=""})',
    "sum by (job) (count_over_time(up[1h]))",
    "ALERTS",
)


def ask(url: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    """The JSON that a service of the site answers."""
    context = ssl.create_default_context(cafile=TLS / "ca.pem")
    context.load_cert_chain(TLS / "client/fullchain.pem", TLS / "client/privkey.pem")
    data = None if body is None else json.dumps(body).encode()
    # Addresses of this host
    request = urllib.request.Request(url, data, headers or {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310
        return json.load(answer)


def query(expression: str, moment: str) -> list[str]:
    """The series of an instant vector."""
    told = urllib.parse.urlencode({"query": expression, "time": moment})
    found = ask(f"{PROMETHEUS}/api/v1/query?{told}")["data"]["result"]
    return [
        f"{expression} {json.dumps(one['metric'], sort_keys=True)} {one['value'][1]}"
        for one in found
    ]


def rows(database: Path, statement: str, *values: object) -> list[str]:
    """What is in a database."""
    address = f"file:{database}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        return [json.dumps(row) for row in connection.execute(statement, values)]


def write(database: Path, user: str, statement: str, *values: object) -> None:
    """Change a database as its owner."""
    program = (
        "import json, sqlite3, sys; told = json.load(sys.stdin); "
        "connection = sqlite3.connect(told[0], timeout=30); "
        "connection.execute(told[1], told[2]); connection.commit()"
    )
    told = json.dumps([str(database), statement, values])
    argv = ["runuser", "-u", user, "--", "python3", "-c", program]
    subprocess.run(argv, input=told, text=True, check=True, timeout=60)


def grafana(password: str, path: str, body: object = None) -> Any:
    """Ask Grafana as its local admin."""
    token = base64.b64encode(f"admin:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    return ask(GRAFANA + path, body, headers)


def wait_for(what: str, is_there: Callable[[], object]) -> None:
    """Return as soon as something is there."""
    until = time.monotonic() + WAIT_SECONDS
    while not is_there():
        if time.monotonic() > until:
            raise SystemExit(f"{what} did not appear within {WAIT_SECONDS:.0f} s")
        time.sleep(1)


def put(password: str) -> None:
    """Make what nobody has but this host."""
    add = ["amtool", "silence", "add", "alertname=Nothing", "--duration=8h", "--author=drill"]
    done = subprocess.run(
        [*add, f"--comment={MARK}"], check=True, capture_output=True, text=True, timeout=60
    )
    day = (datetime.now(UTC) - timedelta(days=20)).strftime("%Y-%m-%d")
    statement = "insert or replace into days values (?, ?, ?, ?, ?)"
    write(STATUS, "lookout-status", statement, "portal", day, 144, 3, 36.5)
    dsn = DSN.read_text(encoding="ascii").strip()
    event = {
        "level": "info",
        "platform": "python",
        "logger": "rebuild_drill",
        "logentry": {"formatted": MARK},
        "timestamp": time.time(),
    }
    order = {"dsn": dsn, "ca": str(TLS / "ca.pem"), "timeout_seconds": 30, "event": event}
    subprocess.run(
        [PYTHON, "-m", "lookout.kit.send_report"],
        input=json.dumps(order),
        text=True,
        check=True,
        timeout=60,
    )
    TEXTFILE.write_text("rebuild_drill 4711\n", encoding="ascii")
    if password:
        model = {"uid": "rebuild-drill", "title": MARK, "panels": []}
        grafana(password, "/api/dashboards/db", {"dashboard": model, "overwrite": True})
    silence = done.stdout.strip().encode()
    wait_for("the silence on disk", lambda: silence in SILENCES.read_bytes())
    wait_for("the event", lambda: rows(BUGSINK, ISSUES, f"%{MARK}%"))
    wait_for("the series", lambda: query("rebuild_drill", f"{time.time()}"))
    print(time.time())


ISSUES = "select id, calculated_value from issues_issue where calculated_value like ?"


def silences() -> list[str]:
    """Those that hold, and for how long."""
    asked = subprocess.run(
        ["amtool", "silence", "query", "--output=json"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [
        json.dumps([one["id"], one["comment"], one["endsAt"], one["matchers"]], sort_keys=True)
        for one in json.loads(asked.stdout)
    ]


def read(moment: str, password: str) -> dict[str, list[str]]:
    """All that there was at a moment, by kind."""
    at = float(moment)
    today = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
    found = {
        "series": [line for expression in QUESTIONS for line in query(expression, moment)],
        "silences": silences(),
        "status page's history": [
            *rows(STATUS, "select * from days where day < ?", today),
            *rows(STATUS, "select * from runs where started + duration < ?", at),
            *rows(STATUS, "select id, task, started from incidents where started < ?", at),
        ],
        "errors": [
            *rows(BUGSINK, "select id, name from projects_project"),
            *rows(BUGSINK, "select username, password from auth_user"),
            *rows(BUGSINK, ISSUES, f"%{MARK}%"),
        ],
    }
    # A demo has none of its first seven days; `make demo-forecast` brings some.
    found["models and tokens"] = [
        f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in (TOKENS, *MODELS.glob("*.json"))
    ]
    if password:
        shown = grafana(password, "/api/search?type=dash-db&limit=5000")
        boards = [grafana(password, f"/api/dashboards/uid/{one['uid']}") for one in shown]
        found["dashboards"] = [
            json.dumps([one["meta"].get("folderTitle"), _model(one["dashboard"])], sort_keys=True)
            for one in boards
        ]
        people = grafana(password, "/api/users")
        found["people"] = [json.dumps([one["login"], one["email"]]) for one in people]
    return found


def _model(board: dict[str, Any]) -> dict[str, Any]:
    """A dashboard without what each import counts anew."""
    return {key: value for key, value in board.items() if key not in ("id", "version")}


if __name__ == "__main__":
    admin = sys.stdin.read().strip()
    if sys.argv[1] == "put":
        put(admin)
    else:
        json.dump(read(sys.argv[2], admin), sys.stdout)
