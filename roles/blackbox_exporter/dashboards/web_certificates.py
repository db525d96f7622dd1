"""Web & Certificates: what users meet, and when the next certificate ends."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import RED, THIRD, UP, bars, graph, number, states
from tools.dashboards.page import TARGET, page, row
from tools.dashboards.tables import Column, table

NGINX = 'job="nginx_exporter"'
NODES = 'job="node_exporter"'
CERTIFICATE = ["certificate_days", "certificate_critical_days"]
CERTBOT = ["certbot_certificate_days", "certbot_certificate_critical_days"]
# The last known date: a probe that fails reports none.
DAYS = (
    f"(min by (instance) (last_over_time(probe_ssl_earliest_cert_expiry{{{TARGET}}}[1d])) - "
    "time()) / 86400"
)
MEAN = f"max by (instance) (avg_over_time(probe_duration_seconds{{{TARGET}}}[5m]))"


def days(metric: str, by: str) -> str:
    return f"sort((min by ({by}) ({metric}{{{NODES}}}) - time()) / 86400)"


def dashboard() -> Dashboard:
    return page(
        "web-certificates",
        "Web & Certificates",
        "Whether the services answer those who use them, how fast, and how long their "
        "certificates last.",
        team="on-call",
        job="blackbox_exporter",
        content=[
            number(
                "Probes failing",
                "Of the chosen ones, now.",
                "short",
                (f"sum(1 - probe_success{{{TARGET}}})", "failing"),
                alerts=["ProbeFailed"],
                one_is=RED,
                decimals=0,
            ),
            number(
                "Slowest probe",
                "Mean of 5 minutes.",
                "s",
                (f"max({MEAN})", "slowest"),
                limits=["response_time_seconds"],
            ),
            number(
                "First certificate to end",
                "Of those that a probe sees.",
                "d",
                (f"min({DAYS})", "days"),
                limits=CERTIFICATE,
                empty="none seen",
                decimals=0,
            ),
            number(
                "First of the site's own to end",
                "Of the site CA's certificates on any host.",
                "d",
                (
                    f"(min(lookout_certificate_not_after_timestamp_seconds{{{NODES}}}) - "
                    "time()) / 86400",
                    "days",
                ),
                limits=["SiteCertificateExpiring"],
                decimals=0,
            ),
            table(
                "Probes",
                "What each one met: its answer, how long that took, and how long the "
                "certificate lasts.",
                [
                    Column("State", f"min by (instance) (probe_success{{{TARGET}}})", values=UP),
                    Column(
                        "HTTP status",
                        f"max by (instance) (probe_http_status_code{{{TARGET}}})",
                        "none",
                    ),
                    Column("Duration", MEAN, "s", ["response_time_seconds"]),
                    Column("Certificate, days left", DAYS, "none", CERTIFICATE, decimals=0),
                ],
                alerts=["ProbeFailed", "CertificateExpired"],
                links={"instance": "/d/web-certificates?var-instance=${__data.fields.instance}"},
            ),
            states(
                "Up and down",
                "Each probe over time.",
                (f"min by (instance) (probe_success{{{TARGET}}})", "{{instance}}"),
                UP,
                alerts=["ProbeFailed"],
            ),
            graph(
                "Duration",
                "Of each probe, from connecting to the end of the answer.",
                "s",
                (f"max by (instance) (probe_duration_seconds{{{TARGET}}})", "{{instance}}"),
                limits=["response_time_seconds"],
            ),
            graph(
                "Where the time of web probes goes",
                "Mean over the chosen probes, by phase.",
                "s",
                (f"avg by (phase) (probe_http_duration_seconds{{{TARGET}}})", "{{phase}}"),
                stacked=True,
            ),
            row("Certificates, days left"),
            bars(
                "Seen by probes",
                "The earliest end in the chain that a service shows.",
                "d",
                (f"sort({DAYS})", "{{instance}}"),
                limits=CERTIFICATE,
                alerts=["CertificateExpired"],
                maximum=90,
                decimals=0,
                empty="none seen",
                width=THIRD,
            ),
            bars(
                "Public ones (certbot)",
                "As the host that renews them tells.",
                "d",
                (
                    days(
                        "lookout_certbot_certificate_not_after_timestamp_seconds",
                        "instance, certificate",
                    ),
                    "{{instance}} {{certificate}}",
                ),
                limits=CERTBOT,
                alerts=["CertbotRenewalFailed", "CertbotNotTrying"],
                maximum=90,
                decimals=0,
                empty="none of the kind",
                width=THIRD,
            ),
            bars(
                "The site's own",
                "By host; each run of site.yml renews with a third of the life left.",
                "d",
                (
                    days("lookout_certificate_not_after_timestamp_seconds", "instance"),
                    "{{instance}}",
                ),
                limits=["SiteCertificateExpiring"],
                alerts=["SiteCertificateUnknown"],
                maximum=365,
                decimals=0,
                width=THIRD,
            ),
            row("Gateway"),
            graph(
                "Connections",
                "`waiting` are open and idle, the others have a request.",
                "short",
                *(
                    (f"sum(nginx_connections_{state}{{{NGINX}}})", state)
                    for state in ("reading", "writing", "waiting")
                ),
                stacked=True,
            ),
            graph(
                "Connections dropped",
                "Within 5 minutes; nginx drops none before all that it may have are taken.",
                "short",
                (
                    f"sum by (instance) (increase(nginx_connections_accepted{{{NGINX}}}[5m]) "
                    f"- increase(nginx_connections_handled{{{NGINX}}}[5m]))",
                    "{{instance}}",
                ),
                alerts=["NginxConnectionsDropped", "NginxDown"],
            ),
        ],
    )
