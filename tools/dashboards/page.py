"""A whole dashboard: its settings, its variables, the way to the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as d

from tools.dashboards.look import SOURCE

TAG = "lookout"
TEAMS = ("infrastructure", "data-science", "on-call")
# What queries select with; each of them names a job.
TARGET = 'job=~"$job",instance=~"$instance"'
EVERYTHING = ".*"


def variable(name: str, label: str, query: str, *, several: bool = True) -> Any:
    """A choice between what a query of Prometheus finds; all of it, where several may be chosen."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    if several:
        made = made.all_value(EVERYTHING).current(d.VariableOption(True, "All", "$__all"))
    return made


def job_variable(job: str) -> Any:
    """`$job`: the one that the dashboard is about, or a choice where that is a pattern."""
    one = job.isidentifier()
    made = variable("job", "Job", f'label_values(up{{job=~"{job}"}}, job)', several=not one)
    if one:
        made = made.hide(d.VariableHide.HIDE_VARIABLE).current(d.VariableOption(True, job, job))
    return made


def instance_variable(*, several: bool) -> Any:
    """`$instance`: hosts as the inventory names them, probes by their own name."""
    query = 'label_values(up{job=~"$job"}, instance)'
    return variable("instance", "Instance", query, several=several)


def row(title: str) -> Any:
    """A heading between panels."""
    return dashboard.Row(title)


def page(
    uid: str,
    title: str,
    about: str,
    *,
    team: str,
    job: str,
    content: Sequence[Any],
    several: bool = True,
    variables: Sequence[Any] = (),
    hours: int = 6,
) -> d.Dashboard:
    """A dashboard of a team about the targets of a job.

    Args:
        job: its name, or a regular expression of several names to choose from.
        content: panels and rows, in order.
        several: whether more than one instance may be chosen.
        variables: further ones, after `job` and `instance`.
        hours: how far it looks back.
    """
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG, team])
        .timezone("browser")
        .readonly()
        .refresh("1m")
        .time(f"now-{hours}h", "now")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .annotations([])
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(d.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for chosen in (job_variable(job), instance_variable(several=several), *variables):
        made = made.with_variable(chosen)
    for part in content:
        made = made.with_row(part) if isinstance(part, dashboard.Row) else made.with_panel(part)
    return made.build()
