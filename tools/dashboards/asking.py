"""Ask a Prometheus what a dashboard asks, without Grafana."""

from __future__ import annotations

import base64
import http
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "molecule/shared"), str(ROOT / "tests/contracts")]

import testbed  # noqa: E402
from dashboard_queries import (  # noqa: E402
    dashboards,
    of_variable,
    substituted,
    values,
    variables,
)

POINTS = 120
# The gateway lets five requests with a password through in a second.
PATIENCE_SECONDS = 30
# What Grafana calls a variable that nobody sees
HIDDEN = 2

Question = tuple[str, dict[str, str]]
# Of each query of a panel: its series, as Prometheus returns them
Answers = Sequence[list[dict[str, Any]]]
Ask = Callable[[Sequence[Question]], list[dict[str, Any]]]


class AskError(Exception):
    """Prometheus did not answer, or refused a query."""


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
        given_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with opener.open(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                limited = error.code == http.HTTPStatus.TOO_MANY_REQUESTS
                if not limited or time.monotonic() > given_up:
                    raise AskError(f"{url}: {error}; {error.read(200)!r}") from error
            except OSError as error:
                raise AskError(f"{url}: {error}") from error
            time.sleep(1)

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


def stored(uids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the dashboards of these names, all of them where none is named."""
    return [dashboard for dashboard in dashboards() if not uids or dashboard["uid"] in uids]


def as_opened(
    dashboard: Mapping[str, Any], ask: Ask, chosen: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the dashboard with its titles, and the values: `chosen`, or Grafana's first ones."""
    picked = values(dashboard)
    for variable in variables(dashboard):
        if variable["name"] in chosen:
            picked[variable["name"]] = chosen[variable["name"]]
        elif not variable.get("multi") and variable.get("hide") != HIDDEN:
            query = of_variable(substituted(variable["query"], picked))
            [answer] = ask([("query", {"query": query})])
            names = sorted(
                name for series in answer["data"]["result"] for name in series["metric"].values()
            )
            picked[variable["name"]] = names[0] if names else ""
    panels = [
        panel | {"title": substituted(panel["title"], picked)} for panel in dashboard["panels"]
    ]
    return {**dashboard, "panels": panels}, picked


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
                raise AskError(f"{dashboard['uid']}, {panel['title']}: {answer['error']}")
        found[panel["id"]] = [answer["data"]["result"] for answer in answers]
    return found
