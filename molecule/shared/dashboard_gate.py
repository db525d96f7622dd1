"""The gate against dead metrics: every query of the dashboards, asked of a real Prometheus."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hosts import put
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "contracts"))
from dashboard_queries import Query, allow_list, allowed, problems

# A rate needs two scrapes, 15 s apart, and what a rule records of it one evaluation more.
PATIENCE_SECONDS = 120


def ask(host: Host, questions: Sequence[tuple[str, dict[str, str]]]) -> list[dict[str, Any]]:
    """All answers of the host's Prometheus, in one go (ask.py)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "questions.json")
        file.write_text(json.dumps(questions), encoding="utf-8")
        put(host, file)
    put(host, Path(__file__).with_name("ask.py"))
    answers: list[dict[str, Any]] = json.loads(
        host.check_output("python3 /root/ask.py /root/questions.json")
    )
    return answers


def _count(answer: dict[str, Any]) -> int | str:
    if answer["status"] != "success":
        return str(answer["error"])
    return len(answer["data"]["result"])


def dead_queries(
    host: Host, scenario: str, asked: Sequence[Query], patience: float = PATIENCE_SECONDS
) -> list[str]:
    """What is wrong with the queries; asked again until nothing is, or the time is up."""
    reasons = allowed(scenario, asked, allow_list())
    deadline = time.monotonic() + patience
    while True:
        questions = [("query", {"query": query.expr}) for query in asked]
        names, *answers = ask(host, [("label/__name__/values", {}), *questions])
        counts = dict(zip(asked, map(_count, answers), strict=True))
        found = problems(counts, set(names["data"]), reasons)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(3)
