"""The pages that people see: plain HTML, rendered from the history at each request."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lookout.status import history, storage, svg
from lookout.status.notify import duration
from lookout.status.options import StatusOptions
from lookout.status.reports import to_csv
from lookout.status.service import History, Unavailable

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".svg": "image/svg+xml"}
ORDER = {"failing": 0, "unknown": 1, "ok": 2}
SHOWN_INCIDENTS = 10
SHOWN_RUNS = 50


def when(seconds: float) -> str:
    """A moment for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def ago(seconds: float, now: float) -> str:
    """How long ago something was."""
    return f"{duration(max(now - seconds, 0))} ago"


def took(seconds: float) -> str:
    """How long something took."""
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def percent(share: float | None) -> str:
    """A share; never rounded up to all of it."""
    if share is None:
        return "no data"
    if share == 1:
        return "100 %"
    if share == 0:
        return "0 %"
    return f"{min(int(share * 10_000) / 100, 99.99):.2f} %"


def numbers(rows: Sequence[Sequence[Any]]) -> set[int]:
    """Which columns of a table hold numbers alone; they are set to the right."""
    return {
        index
        for index, column in enumerate(zip(*rows, strict=True))
        if any(value is not None for value in column)
        and all(
            value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
            for value in column
        )
    }


@dataclass(frozen=True)
class Summary:
    """The one sentence at the top."""

    state: history.State
    text: str


def summary(views: list[history.TaskView]) -> Summary:
    """Say in one sentence how things are."""
    failing = sum(view.state == "failing" for view in views)
    unknown = sum(view.state == "unknown" for view in views)
    many = len(views)
    if failing:
        verb = "fails" if failing == 1 else "fail"
        return Summary("failing", f"{failing} of {many} tasks {verb}")
    if not views:
        return Summary("unknown", "No task is configured")
    if unknown:
        return Summary("unknown", f"Nothing is known of {unknown} of {many} tasks")
    return Summary("ok", "Everything works")


def set_aside_at(file: Path) -> str:
    """When a damaged history was set aside, as its name says."""
    found = re.search(r"-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)\d\dZ$", file.name)
    return "{}-{}-{} {}:{}".format(*found.groups()) if found else "?"


class Pages:
    """What people ask."""

    def __init__(self, options: StatusOptions, past: History) -> None:
        self._options, self._past = options, past
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        filters = {"when": when, "took": took, "percent": percent, "span": duration}
        self._environment.filters |= filters
        self._environment.globals |= {"bars": svg.bars, "sparkline": svg.sparkline, "ago": ago}
        self._static = {
            file.name: file.read_bytes()
            for file in sorted((HERE / "static").iterdir())
            if file.suffix in TYPES
        }
        digest = hashlib.sha256(b"".join(self._static.values())).hexdigest()
        self._version = digest[:12]

    def routes(self) -> list[Route]:
        """The pages, and the two files that they need."""
        return [
            Route("/", self.index),
            Route("/task/{name}", self.task),
            Route("/report/{name}.csv", self.csv),
            Route("/report/{name}", self.report),
            Route("/static/{name}", self.static),
        ]

    def _render(self, template: str, path: str, user: str = "", **values: Any) -> str:
        return self._environment.get_template(template).render(
            page=self._options.page,
            instance=self._options.instance,
            user=user,
            base="../" * (path.count("/") - 1),
            version=self._version,
            now=time.time(),
            **values,
        )

    def _page(self, request: Request, template: str, **values: Any) -> Response:
        # The gateway says who it is, and takes out what a client says of itself.
        user = request.headers.get("x-forwarded-user", "")[:64]
        html = self._render(template, request.url.path, user, **values)
        return Response(html, media_type="text/html")

    def wrong(self, status: int, said: str, path: str, headers: Any = None) -> Response:
        """A page that says what went wrong."""
        html = self._render("wrong.html", path, status=status, said=said)
        return Response(html, status, headers, media_type="text/html")

    def _notices(self) -> list[str]:
        """What is wrong with the history itself."""
        found = [
            f"The history was damaged at {set_aside_at(file)} UTC and set aside as {file}."
            " This page began a new one. Delete the file when nobody needs it any more."
            for file in storage.damaged(self._options.database)
        ]
        return ([f"Not saved: {self._past.wrong}."] if self._past.wrong else []) + found

    def index(self, request: Request) -> Response:
        """All at a glance; also where the history cannot be read."""
        now = time.time()
        options = self._options
        try:
            views, incidents, reports = self._past.read(
                lambda connection: (
                    [history.task_view(connection, options, name, now) for name in options.tasks],
                    history.incidents(connection, options, limit=SHOWN_INCIDENTS),
                    history.reports(connection),
                )
            )
        except Unavailable:
            views, incidents, reports = history.unseen(options, now), [], []
        views.sort(key=lambda view: ORDER[view.state])
        return self._page(
            request, "index.html", views=views, incidents=incidents, reports=reports,
            summary=summary(views), notices=self._notices(), days=history.BARS,
        )  # fmt: skip

    def task(self, request: Request) -> Response:
        """All about one task."""
        name, now = request.path_params["name"], time.time()
        if name not in self._options.tasks:
            raise HTTPException(404, "There is no such task.")
        view, runs, incidents = self._past.read(
            lambda connection: (
                history.task_view(connection, self._options, name, now),
                history.runs_of(connection, name, now, limit=SHOWN_RUNS),
                history.incidents(connection, self._options, name, limit=SHOWN_RUNS),
            )
        )
        return self._page(
            request, "task.html", view=view, runs=runs, incidents=incidents, days=history.BARS,
            notices=self._notices(),
        )  # fmt: skip

    def _report(self, request: Request) -> history.ReportView:
        given = request.query_params.get("run")
        if given is not None and not re.fullmatch(r"[0-9]{1,12}", given, re.ASCII):
            raise HTTPException(400, "The number of a run has digits alone.")
        name, number = request.path_params["name"], int(given) if given else None
        found = self._past.read(lambda connection: history.report(connection, name, number))
        if found is None:
            raise HTTPException(404, "There is no such report, or it has not run yet.")
        return found

    def report(self, request: Request) -> Response:
        """One run of a report as a table, with the others to choose from."""
        report = self._report(request)
        runs = self._past.read(lambda connection: history.runs_of_report(connection, report.name))
        return self._page(
            request,
            "report.html",
            report=report,
            runs=runs,
            notices=self._notices(),
            numbers=numbers(report.rows),
        )

    def csv(self, request: Request) -> Response:
        """One run of a report for a spreadsheet."""
        report = self._report(request)
        day = when(report.started)[:10]
        named = {"Content-Disposition": f'attachment; filename="{report.name}-{day}.csv"'}
        return Response(to_csv(report.columns, report.rows), headers=named, media_type="text/csv")

    def static(self, request: Request) -> Response:
        """The style and the icon; their address changes with them."""
        name = request.path_params["name"]
        if name not in self._static:
            raise HTTPException(404, "There is no such file.")
        return Response(
            self._static[name],
            headers={"Cache-Control": "max-age=31536000, immutable"},
            media_type=TYPES[Path(name).suffix],
        )
