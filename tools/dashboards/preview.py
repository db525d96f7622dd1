"""Draw every dashboard with real data, without Grafana: .cache/dashboards/<uid>.png.

Asks the demo's Prometheus through its gateway, another one by its URL, or that of a host of the
test bed. Panels without data are red.
"""

from __future__ import annotations

import argparse
import base64
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "molecule/shared"), str(ROOT / "tests/contracts")]

import testbed  # noqa: E402
from dashboard_queries import dashboards, of_variable, substituted, values, variables  # noqa: E402

from tools.dashboards.draw import Answers, draw  # noqa: E402

DEMO = "https://localhost:8443/prometheus"
DEMO_SECRETS = ROOT / "inventories/demo/secrets"
PICTURES = ROOT / ".cache/dashboards"
POINTS = 120

Question = tuple[str, dict[str, str]]
Ask = Callable[[Sequence[Question]], list[dict[str, Any]]]


def by_url(url: str, user: str, password: str, authority: Path | None) -> Ask:
    """Ask a Prometheus by its address."""
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    # Directly: no proxy leads to a Prometheus of one's own.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    headers = {}
    if password:
        signed_in = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {signed_in}"

    def one(path: str, parameters: Mapping[str, str]) -> Any:
        address = f"{url.rstrip('/')}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(address, headers=headers)  # noqa: S310
        try:
            with opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{address}: {error}") from error

    return lambda questions: [one(*question) for question in questions]


def by_host(container: str) -> Ask:
    """Ask the Prometheus of a host of the test bed, with molecule/shared/ask.py."""
    script = (ROOT / "molecule/shared/ask.py").read_text(encoding="utf-8")

    def ask(questions: Sequence[Question]) -> list[dict[str, Any]]:
        argv = ["exec", "--interactive", container, "python3", "-c", script, "/dev/stdin"]
        answers: list[dict[str, Any]] = json.loads(
            testbed.podman(*argv, input=json.dumps(questions)).stdout
        )
        return answers

    return ask


def chosen(dashboard: Mapping[str, Any], ask: Ask) -> dict[str, str]:
    """Return variable -> value, as Grafana chooses when the page is opened."""
    found = values(dashboard)
    for variable in variables(dashboard):
        if not variable.get("multi") and variable.get("hide") != 2:  # noqa: PLR2004
            query = of_variable(substituted(variable["query"], found))
            [answer] = ask([("query", {"query": query})])
            names = sorted(
                name for series in answer["data"]["result"] for name in series["metric"].values()
            )
            found[variable["name"]] = names[0] if names else ""
    return found


def collect(
    dashboard: Mapping[str, Any], picked: Mapping[str, str], ask: Ask, minutes: int
) -> dict[int, Answers]:
    """Return number of the panel -> what its queries returned."""
    now = time.time()
    span = {
        "start": str(now - 60 * minutes),
        "end": str(now),
        "step": str(max(15, 60 * minutes // POINTS)),
    }
    found: dict[int, Answers] = {}
    for panel in dashboard["panels"]:
        questions: list[Question] = []
        for target in panel.get("targets", []):
            query = {"query": substituted(target["expr"], picked)}
            ranged = target.get("range")
            questions.append(("query_range", query | span) if ranged else ("query", query))
        answers = ask(questions) if questions else []
        for answer in answers:
            if answer["status"] != "success":
                raise SystemExit(f"{dashboard['uid']}, {panel['title']}: {answer['error']}")
        found[panel["id"]] = [answer["data"]["result"] for answer in answers]
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("uid", nargs="*", help="which dashboards; all of them by default")
    parser.add_argument("--minutes", type=int, default=60, help="how far to look back (60)")
    parser.add_argument("--url", default=DEMO, help=f"a Prometheus ({DEMO})")
    parser.add_argument("--user", default="demo", help="who signs in there (demo)")
    parser.add_argument("--password-file", type=Path, default=DEMO_SECRETS / "demo_password")
    parser.add_argument("--ca-file", type=Path, default=DEMO_SECRETS / "tls/ca.pem")
    parser.add_argument("--prometheus-host", help="a host of the test bed, such as run-default-mon")
    return parser.parse_args()


def main() -> int:
    """Draw, and say what has no data."""
    said = arguments()
    if said.prometheus_host:
        ask = by_host(said.prometheus_host)
    elif said.url == DEMO and not said.password_file.exists():
        print("There is no demo here: `make demo` first, or name a Prometheus (--help).")
        return 1
    else:
        known = said.password_file.exists()
        password = said.password_file.read_text(encoding="utf-8").strip() if known else ""
        authority = said.ca_file if said.ca_file.exists() else None
        ask = by_url(said.url, said.user, password, authority)
    for dashboard in dashboards():
        uid = dashboard["uid"]
        if said.uid and uid not in said.uid:
            continue
        file = PICTURES / f"{uid}.png"
        picked = chosen(dashboard, ask)
        for panel in dashboard["panels"]:
            panel["title"] = substituted(panel["title"], picked)
        empty = draw(dashboard, collect(dashboard, picked, ask, said.minutes), file)
        print(f"{file.relative_to(ROOT)}: {', '.join(empty) or 'nothing'} without series")
    return 0


if __name__ == "__main__":
    sys.exit(main())
