"""The JSON API: what the page shows, for programs."""

from __future__ import annotations

import re
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lookout.kit.web.answers import moment
from lookout.status import history
from lookout.status.options import StatusOptions
from lookout.status.records import Run
from lookout.status.service import History
from lookout.status.web.openapi import MOST, document

BOOLEANS = {"true": True, "false": False}


def number(request: Request, name: str, default: int) -> int:
    """A parameter that limits how much is answered."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not re.fullmatch(r"[0-9]{1,4}", given, re.ASCII) or not 1 <= int(given) <= MOST:
        raise HTTPException(400, f"{name} must be a number from 1 to {MOST}")
    return int(given)


def of_run(run: Run | None) -> dict[str, Any] | None:
    """One run."""
    if run is None:
        return None
    return {
        "started": moment(run.started),
        "duration_seconds": round(run.duration, 3),
        "ok": run.ok,
        "message": run.message,
    }


def of_task(view: history.TaskView) -> dict[str, Any]:
    """One task without its past."""
    return {
        "name": view.name,
        "title": view.title,
        "kind": view.kind,
        "every_minutes": view.every_minutes,
        "state": view.state,
        "uptime": None if view.uptime is None else round(view.uptime, 6),
        "last_run": of_run(view.last),
    }


def of_incident(incident: history.Incident) -> dict[str, Any]:
    """One incident."""
    return {
        "id": incident.id,
        "task": incident.task,
        "title": incident.title,
        "started": moment(incident.started),
        "ended": moment(incident.ended),
        "message": incident.message,
        "failed_runs": incident.runs,
    }


def of_report(report: history.ReportView) -> dict[str, Any]:
    """One run of a report without its rows."""
    return {
        "id": report.id,
        "name": report.name,
        "title": report.title,
        "started": moment(report.started),
        "duration_seconds": round(report.duration, 3),
        "ok": report.ok,
        "message": report.message,
        "truncated": report.truncated,
    }


class Api:
    """What programs ask."""

    def __init__(self, options: StatusOptions, past: History) -> None:
        self._options, self._past = options, past

    def routes(self) -> list[Route]:
        """All below /api/v1/, and what describes it."""
        return [
            Route("/api/v1/tasks", self.tasks),
            Route("/api/v1/tasks/{name}", self.task),
            Route("/api/v1/incidents", self.incidents),
            Route("/api/v1/reports", self.reports),
            Route("/api/v1/reports/{name}", self.report),
            Route("/api/v1/openapi.json", self.openapi),
        ]

    def tasks(self, _: Request) -> Response:
        """All tasks."""
        views = self._past.read(
            lambda connection: [
                history.task_view(connection, self._options, name, time.time())
                for name in self._options.tasks
            ]
        )
        return JSONResponse({"tasks": [of_task(view) for view in views]})

    def task(self, request: Request) -> Response:
        """One task, its latest runs, and its days."""
        name, limit = request.path_params["name"], number(request, "runs", 144)
        now = time.time()
        if name not in self._options.tasks:
            raise HTTPException(404, "there is no such task")
        view, runs = self._past.read(
            lambda connection: (
                history.task_view(connection, self._options, name, now),
                history.runs_of(connection, name, now, limit=limit),
            )
        )
        days = [{"day": day.day, "runs": day.runs, "failed": day.failed} for day in view.days]
        return JSONResponse({**of_task(view), "days": days, "runs": [of_run(run) for run in runs]})

    def incidents(self, request: Request) -> Response:
        """The latest incidents, of one task or of all."""
        limit, task = number(request, "limit", 50), request.query_params.get("task")
        given = request.query_params.get("open")
        if given is not None and given not in BOOLEANS:
            raise HTTPException(400, "open must be true or false")
        if task is not None and task not in self._options.tasks:
            raise HTTPException(404, "there is no such task")
        ongoing = None if given is None else BOOLEANS[given]
        found = self._past.read(
            lambda connection: history.incidents(connection, self._options, task, ongoing, limit)
        )
        return JSONResponse({"incidents": [of_incident(incident) for incident in found]})

    def reports(self, _: Request) -> Response:
        """The latest run of each report."""
        found = self._past.read(history.reports)
        return JSONResponse({"reports": [of_report(report) for report in found]})

    def report(self, request: Request) -> Response:
        """The latest run of one report, with its rows."""
        name = request.path_params["name"]
        found = self._past.read(lambda connection: history.report(connection, name))
        if found is None:
            raise HTTPException(404, "there is no such report, or it has not run yet")
        return JSONResponse({**of_report(found), "columns": found.columns, "rows": found.rows})

    def openapi(self, _: Request) -> Response:
        """The description of all this."""
        return JSONResponse(document(self._options.page.title))
