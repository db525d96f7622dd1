"""Small pictures of a task's past, as SVG inside of the page: no script, no style of their own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from lookout.status.history import Day
from lookout.status.records import Run

BAR, GAP, HEIGHT = 7, 3, 34
WIDE, TALL, PAD = 320.0, 44.0, 3.0


def bars(days: Sequence[Day]) -> Markup:
    """One bar a day; what it says stands in its title."""
    step = BAR + GAP
    parts = [
        f'<rect class="day {day.state}" x="{index * step}" y="0" width="{BAR}" height="{HEIGHT}"'
        f' rx="2"><title>{escape(said(day))}</title></rect>'
        for index, day in enumerate(days)
    ]
    width = max(len(days) * step - GAP, 1)
    label = escape(f"{len(days)} days, {sum(day.failed > 0 for day in days)} of them with failures")
    return Markup(  # noqa: S704 -- all that comes from outside is escaped
        f'<svg class="bars" viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{label}">{"".join(parts)}</svg>'
    )


def said(day: Day) -> str:
    """One day in words."""
    if not day.runs:
        return f"{day.day}: no data"
    if not day.failed:
        return f"{day.day}: all {day.runs} runs worked"
    return f"{day.day}: {day.failed} of {day.runs} runs failed"


def points(runs: Sequence[Run]) -> list[tuple[float, float]]:
    """Where each run lies in the picture: time to the right, duration upwards from zero."""
    if not runs:
        return []
    first, last = runs[0].started, runs[-1].started
    span = max(last - first, 1.0)
    most = max(0.001, *(run.duration for run in runs))
    return [
        (
            PAD + (WIDE - 2 * PAD) * (run.started - first) / span,
            TALL - PAD - (TALL - 2 * PAD) * max(run.duration, 0) / most,
        )
        for run in runs
    ]


def sparkline(runs: Sequence[Run]) -> Markup:
    """How long the runs took, the oldest first; failed ones are marked."""
    places = points(runs)
    if not places:
        return Markup("")
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    floor = f"{TALL - PAD:.1f}"
    area = f"{places[0][0]:.1f},{floor} {line} {places[-1][0]:.1f},{floor}"
    dots = "".join(
        f'<path class="dot{"" if run.ok else " failing"}" d="M{x:.1f},{y:.1f}h0"'
        ' vector-effect="non-scaling-stroke"></path>'
        for run, (x, y) in zip(runs, places, strict=True)
        # One run alone makes no line.
        if not run.ok or len(runs) == 1
    )
    most = max(run.duration for run in runs)
    label = escape(f"response time, {len(runs)} runs, at most {most:.2f} seconds")
    return Markup(  # noqa: S704 -- numbers alone
        f'<svg class="spark" viewBox="0 0 {WIDE:.0f} {TALL:.0f}" preserveAspectRatio="none"'
        f' role="img" aria-label="{label}"><polygon class="area" points="{area}"></polygon>'
        f'<polyline class="line" points="{line}" vector-effect="non-scaling-stroke"></polyline>'
        f"{dots}</svg>"
    )
