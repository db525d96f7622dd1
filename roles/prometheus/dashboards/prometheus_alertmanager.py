"""Prometheus & Alertmanager: the monitoring of the monitoring."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import BLUE, GREEN, ORANGE, RED, bars, graph, number
from tools.dashboards.page import TARGET, page, row

# A window that fits the width of the panel
WINDOW = "[$__rate_interval]"
ALL_JOBS = 'job=~".+"'
ALERTMANAGER = 'job="alertmanager",instance=~"$instance"'
BY_INSTANCE = "{{instance}}"
NOTIFIED = "alertmanager_notifications"


def made_within(metric: str, what: str = TARGET) -> str:
    return f"sum(increase({metric}{{{what}}}{WINDOW}))"


def dashboard() -> Dashboard:
    return page(
        "prometheus-alertmanager",
        "Prometheus & Alertmanager",
        "Whether the monitoring itself works: what it scrapes, computes and keeps, and whether "
        "its words arrive.",
        team="infrastructure",
        job="prometheus",
        content=[
            row("Scraping"),
            number(
                "Targets down",
                "Of all jobs.",
                "short",
                (f"sum(1 - up{{{ALL_JOBS}}})", "down"),
                alerts=["TargetDown", "HostDown", "ProbeNotRunning"],
                one_is=RED,
                decimals=0,
            ),
            number(
                "Targets",
                "Of all jobs.",
                "short",
                (f"count(up{{{ALL_JOBS}}})", "targets"),
                decimals=0,
            ),
            number(
                "Configuration",
                "Whether both took up what is on disk.",
                "short",
                (
                    f"min(prometheus_config_last_reload_successful{{{TARGET}}}) "
                    f"* min(alertmanager_config_last_reload_successful{{{ALERTMANAGER}}})",
                    "accepted",
                ),
                alerts=["PrometheusConfigReloadFailed", "AlertmanagerConfigReloadFailed"],
                values={"1": ("accepted", GREEN), "0": ("refused", RED)},
            ),
            number(
                "Alertmanagers found",
                "By each Prometheus: the least.",
                "short",
                (f"min(prometheus_notifications_alertmanagers_discovered{{{TARGET}}})", "found"),
                limits=["PrometheusWithoutAlertmanager"],
                decimals=0,
            ),
            graph(
                "Slowest scrape by job",
                "A scrape is given up after 10 s.",
                "s",
                (f"max by (job) (scrape_duration_seconds{{{ALL_JOBS}}})", "{{job}}"),
            ),
            graph(
                "Samples taken in",
                "By each Prometheus.",
                "cps",
                (
                    "sum by (instance) "
                    f"(rate(prometheus_tsdb_head_samples_appended_total{{{TARGET}}}{WINDOW}))",
                    BY_INSTANCE,
                ),
                alerts=["PrometheusNotIngesting"],
            ),
            row("Rules"),
            graph(
                "Slowest group of rules",
                "Against the interval within which it has to be done.",
                "s",
                (
                    f"max by (instance) (prometheus_rule_group_last_duration_seconds{{{TARGET}}})",
                    "slowest {{instance}}",
                ),
                (
                    f"min by (instance) (prometheus_rule_group_interval_seconds{{{TARGET}}})",
                    "interval {{instance}}",
                ),
                alerts=["PrometheusRuleGroupSlow"],
            ),
            graph(
                "Rules that failed",
                "Evaluations that ended with an error, and rounds that were left out.",
                "short",
                (made_within("prometheus_rule_evaluation_failures_total"), "failed"),
                (made_within("prometheus_rule_group_iterations_missed_total"), "left out"),
                alerts=["PrometheusRuleFailures", "PrometheusRulesMissed"],
                colours={"failed": RED, "left out": ORANGE},
            ),
            row("Storage"),
            graph(
                "Series in memory",
                "Beyond the line a sudden growth is an alert; each series costs about 4 KiB.",
                "short",
                (f"max by (instance) (prometheus_tsdb_head_series{{{TARGET}}})", BY_INSTANCE),
                limits=["head_series"],
            ),
            graph(
                "Disk used",
                "Blocks are two hours and more, the log and the newest chunks are the hours since.",
                "bytes",
                (f"sum(prometheus_tsdb_storage_blocks_bytes{{{TARGET}}})", "blocks"),
                (f"sum(prometheus_tsdb_wal_storage_size_bytes{{{TARGET}}})", "log"),
                (
                    f"sum(prometheus_tsdb_head_chunks_storage_size_bytes{{{TARGET}}})",
                    "newest chunks",
                ),
                alerts=["PrometheusRetentionShortened"],
                stacked=True,
            ),
            graph(
                "History kept",
                "How far back the oldest sample lies. It grows until the retention is reached.",
                "s",
                (
                    "time() - min by (instance) "
                    f"(prometheus_tsdb_lowest_timestamp_seconds{{{TARGET}}})",
                    BY_INSTANCE,
                ),
                alerts=["PrometheusRetentionShortened"],
            ),
            graph(
                "Memory",
                "Resident, of both programs.",
                "bytes",
                (
                    "sum by (job, instance) "
                    '(process_resident_memory_bytes{job=~"$job|alertmanager",instance=~"$instance"})',
                    "{{job}} {{instance}}",
                ),
            ),
            row("Notifications"),
            graph(
                "Alerts handed to Alertmanager",
                "By Prometheus, for each firing alert about once a minute.",
                "short",
                (made_within("prometheus_notifications_sent_total"), "sent"),
                (made_within("prometheus_notifications_errors_total"), "failed"),
                (made_within("prometheus_notifications_dropped_total"), "dropped"),
                alerts=["PrometheusAlertsNotDelivered"],
                colours={"sent": GREEN, "failed": ORANGE, "dropped": RED},
            ),
            graph(
                "Notifications by Alertmanager",
                "To people and receivers, by the ways that were used since it started.",
                "short",
                (
                    "sum by (integration) "
                    f"(increase({NOTIFIED}_total{{{ALERTMANAGER}}}{WINDOW})) "
                    f"and sum by (integration) ({NOTIFIED}_total{{{ALERTMANAGER}}}) > 0",
                    "{{integration}}",
                ),
                alerts=["Watchdog"],
            ),
            bars(
                "Notifications that failed",
                "Share of the last hour, by the way that was used.",
                "percent",
                (
                    "100 * sum by (integration) "
                    f"(increase({NOTIFIED}_failed_total{{{ALERTMANAGER}}}[1h])) "
                    "/ (sum by (integration) "
                    f"(increase({NOTIFIED}_total{{{ALERTMANAGER}}}[1h])) > 0)",
                    "{{integration}}",
                ),
                limits=["notifications_failed_percent"],
                maximum=100,
                decimals=0,
                empty="none sent",
            ),
            graph(
                "Alerts and silences",
                "What Alertmanager holds: alerts that count, alerts kept quiet, silences.",
                "short",
                (f'max(alertmanager_alerts{{{ALERTMANAGER},state="active"}})', "active alerts"),
                (
                    f'max(alertmanager_alerts{{{ALERTMANAGER},state="suppressed"}})',
                    "suppressed alerts",
                ),
                (f'max(alertmanager_silences{{{ALERTMANAGER},state="active"}})', "silences"),
                colours={"active alerts": RED, "suppressed alerts": ORANGE, "silences": BLUE},
            ),
        ],
    )
