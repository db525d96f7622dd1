"""The API as OpenAPI describes it."""

from __future__ import annotations

from lookout import __version__
from lookout.kit.web.openapi import (
    BOOLEAN,
    COUNT,
    DAY,
    MOMENT,
    NAME,
    NUMBER,
    TEXT,
    Schema,
    listed,
    or_null,
    parameter,
    thing,
)

MOST = 1000

RUN = {"started": MOMENT, "duration_seconds": NUMBER, "ok": BOOLEAN, "message": TEXT}
TASK = {
    "name": NAME,
    "title": TEXT,
    "kind": TEXT,
    "every_minutes": COUNT,
    "state": {"type": "string", "enum": ["ok", "failing", "unknown"]},
    "uptime": or_null({"type": "number", "minimum": 0, "maximum": 1}),
    "last_run": or_null({"$ref": "#/components/schemas/Run"}),
}
REPORT = {"id": COUNT, "name": NAME, "title": TEXT, **RUN, "truncated": BOOLEAN}
CELL: Schema = {"type": ["string", "number", "boolean", "null"]}
SCHEMAS = {
    "Run": thing(**RUN),
    "Task": thing(**TASK),
    "TaskWithPast": thing(
        **TASK,
        days={"type": "array", "items": thing(day=DAY, runs=COUNT, failed=COUNT)},
        runs=listed("Run"),
    ),
    "Incident": thing(
        id=COUNT, task=TEXT, title=TEXT, started=MOMENT, ended=or_null(MOMENT), message=TEXT,
        failed_runs=COUNT,
    ),
    "Report": thing(**REPORT),
    "ReportWithRows": thing(
        **REPORT,
        columns={"type": "array", "items": TEXT},
        rows={"type": "array", "items": {"type": "array", "items": CELL}},
    ),
    "Problem": thing(title=TEXT, status=COUNT, detail=TEXT),
}  # fmt: skip


def limit(name: str, said: str) -> Schema:
    """A parameter that limits how much is answered."""
    return parameter("query", name, {"type": "integer", "minimum": 1, "maximum": MOST}, said)


def get(said: str, schema: Schema, *parameters: Schema, wrong: tuple[int, ...] = ()) -> Schema:
    """One path that is asked by GET."""
    refused = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers: Schema = {
        "200": {"description": said, "content": {"application/json": {"schema": schema}}}
    }
    meanings = {400: "A parameter is wrong", 404: "There is no such thing"}
    for status in wrong:
        answers[str(status)] = {"description": meanings[status], "content": refused}
    answers["503"] = {"description": "The history cannot be read", "content": refused}
    return {"get": {"summary": said, "parameters": list(parameters), "responses": answers}}


def document(title: str) -> Schema:
    """The whole description; its addresses count from where it lies itself."""
    name = parameter("path", "name", NAME, "as in the list")
    task = parameter("query", "task", NAME, "of this task alone")
    ongoing = parameter("query", "open", BOOLEAN, "those that last, or those that do not")
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{title}: status", "version": __version__},
        "servers": [{"url": "."}],
        "paths": {
            "/tasks": get("All tasks with their state", thing(tasks=listed("Task"))),
            "/tasks/{name}": get(
                "One task with its past",
                {"$ref": "#/components/schemas/TaskWithPast"},
                name,
                limit("runs", "so many of the latest runs"),
                wrong=(400, 404),
            ),
            "/incidents": get(
                "The latest incidents",
                thing(incidents=listed("Incident")),
                task,
                ongoing,
                limit("limit", "so many of the latest"),
                wrong=(400, 404),
            ),
            "/reports": get("The latest run of each report", thing(reports=listed("Report"))),
            "/reports/{name}": get(
                "The latest run of one report with its rows",
                {"$ref": "#/components/schemas/ReportWithRows"},
                name,
                wrong=(404,),
            ),
        },
        "components": {"schemas": SCHEMAS},
    }
