"""Bugsink, and beside it what Prometheus asks: Bugsink itself has no metrics."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from bugsink.version import version
from bugsink.wsgi import application as bugsink
from django.db import connections
from phonehome.models import Installation
from projects.models import Project
from snappea.models import Task

Environ = dict
StartResponse = Callable


def _quoted(value: str) -> str:
    """A label's value as the text format of Prometheus wants it."""
    escaped = re.sub(r'[\\"]', r"\\\g<0>", value).replace("\n", "\\n")
    return f'"{escaped}"'


def _metric(kind: str, name: str, about: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values:
        yield f"{name}{labels} {value:.15g}"


def metrics(now: datetime) -> Iterator[str]:
    """Lines of Prometheus' text format."""

    def exceeded(until: datetime | None) -> int:
        return int(until is not None and until > now)

    oldest = Task.objects.order_by("created_at").values_list("created_at", flat=True).first()
    waiting = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    projects = [
        (f"{{project={_quoted(project.slug)}}}", project)
        for project in Project.objects.filter(is_deleted=False).order_by("slug")
    ]
    site = Installation.objects.first()
    yield from _metric(
        "gauge", "bugsink_info", "Version.", [(f"{{version={_quoted(version)}}}", 1)]
    )
    yield from _metric(
        "gauge", "bugsink_queue_tasks", "Tasks that wait.", [("", Task.objects.count())]
    )
    yield from _metric(
        "gauge", "bugsink_queue_oldest_seconds", "Age of the oldest of them.", [("", waiting)]
    )
    yield from _metric(
        "gauge",
        "bugsink_site_refuses_events",
        "Whether all projects together sent too much.",
        [("", exceeded(site.quota_exceeded_until if site else None))],
    )
    yield from _metric(
        "gauge",
        "bugsink_project_refuses_events",
        "Whether the project sent too much.",
        [(labels, exceeded(project.quota_exceeded_until)) for labels, project in projects],
    )
    yield from _metric(
        "counter",
        "bugsink_project_events_total",
        "Events that were taken in.",
        [(labels, project.digested_event_count) for labels, project in projects],
    )
    yield from _metric(
        "gauge",
        "bugsink_project_stored_events",
        "Events that are kept.",
        [(labels, project.stored_event_count) for labels, project in projects],
    )


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """WSGI. An exception here is an answer of 500, and the alert TargetDown."""
    if environ["PATH_INFO"] != "/metrics":
        return bugsink(environ, start_response)
    try:
        body = "\n".join([*metrics(datetime.now(UTC)), ""]).encode()
    finally:
        connections.close_all()
    start_response("200 OK", [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")])
    return [body]
