"""Alerts overview: what fires now, since when, and what fired most."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import BLUE, HALF, ORANGE, RED, bars, graph, number, states
from tools.dashboards.page import TARGET, page
from tools.dashboards.tables import Column, series_table

# The Watchdog fires always, which is its purpose and no news.
REAL = f'{TARGET},severity!="none"'
FIRING = f'{REAL},alertstate="firing"'
ALERTMANAGER = 'job="alertmanager"'
NOTIFIED = f"alertmanager_notifications_total{{{ALERTMANAGER}}}"
LABELS = ["severity", "alertname", "instance", "team", "alertstate"]
SEVERITIES = {"critical": ("critical", RED), "warning": ("warning", ORANGE)}
STATES = {"firing": ("firing", RED), "pending": ("pending", ORANGE)}


def firing(severity: str) -> str:
    return f'ALERTS{{{FIRING},severity="{severity}"}}'


def dashboard() -> Dashboard:
    return page(
        "alerts-overview",
        "Alerts overview",
        "What is wrong now and since when, whose it is, and what keeps coming back.",
        team="on-call",
        job=".+",
        hours=24,
        content=[
            number(
                "Critical",
                "Alerts that fire now and that somebody has to look at at once.",
                "short",
                (f"count({firing('critical')})", "critical"),
                empty="0",
                one_is=RED,
                decimals=0,
            ),
            number(
                "Warning",
                "Alerts that fire now and can wait for the next working day.",
                "short",
                (f"count({firing('warning')})", "warning"),
                empty="0",
                one_is=ORANGE,
                decimals=0,
            ),
            number(
                "By team",
                "Who has something to do.",
                "short",
                (f"count by (team) (ALERTS{{{FIRING}}})", "{{team}}"),
                empty="nobody",
                decimals=0,
                width=HALF,
            ),
            series_table(
                "Now",
                "What fires or is about to (pending), and since when its condition holds. "
                "A click on an instance shows the host, where it is one.",
                f"1000 * max by ({', '.join(LABELS)}) (ALERTS{{{REAL}}} * ignoring (alertstate) "
                f"group_left () ALERTS_FOR_STATE{{{REAL}}})",
                LABELS,
                Column("since", "", "dateTimeFromNow"),
                words={"severity": SEVERITIES, "alertstate": STATES},
                links={"instance": "/d/system-overview?var-instance=${__data.fields.instance}"},
                empty="All is well",
            ),
            states(
                "History",
                "Which alert fired when: orange is a warning, red is critical.",
                (
                    f"max by (alertname, instance) (2 * {firing('critical')} "
                    f"or {firing('warning')})",
                    "{{alertname}} {{instance}}",
                ),
                {"1": ("warning", ORANGE), "2": ("critical", RED)},
            ),
            graph(
                "How many fired",
                "Alerts that fire, by severity.",
                "short",
                (f"count by (severity) (ALERTS{{{FIRING}}})", "{{severity}}"),
                stacked=True,
                colours={"critical": RED, "warning": ORANGE},
            ),
            bars(
                "Noisiest",
                "For how long each alert fired within the chosen time, all its instances together.",
                "m",
                (
                    "topk(10, sum by (alertname) "
                    f"(count_over_time(ALERTS{{{FIRING}}}[$__range:1m])))",
                    "{{alertname}}",
                ),
                empty="none fired",
            ),
            graph(
                "Notifications",
                "What Alertmanager sent, by the ways that were used since it started.",
                "short",
                (
                    f"sum by (integration) (increase({NOTIFIED}[$__rate_interval])) "
                    f"and sum by (integration) ({NOTIFIED}) > 0",
                    "{{integration}}",
                ),
                alerts=["AlertmanagerNotificationsFailing", "Watchdog"],
            ),
            graph(
                "Kept quiet",
                "Alerts that a silence or another alert holds back, and the silences that are set.",
                "short",
                (
                    f'max(alertmanager_alerts{{{ALERTMANAGER},state="suppressed"}})',
                    "suppressed alerts",
                ),
                (f'max(alertmanager_silences{{{ALERTMANAGER},state="active"}})', "silences"),
                colours={"suppressed alerts": ORANGE, "silences": BLUE},
            ),
        ],
    )
