"""Ralph DCIM: any web application behind the gateway, chosen by its route."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import BLUE, GREEN, ORANGE, PURPLE, RED, THIRD, graph, number
from tools.dashboards.page import TARGET, page, row, variable

# A window that fits the width of the panel
WINDOW = "[$__rate_interval]"
ROUTES = f'{TARGET},route=~"$route"'
HOST = 'job="node_exporter",instance=~"$host"'
REQUESTS = "lookout_http_requests_total"
FAILURES = "lookout_http_sign_in_failures_total"
DURATION = "lookout_http_request_duration_seconds"


def quantile(share: float) -> str:
    buckets = f"rate({DURATION}_bucket{{{ROUTES}}}{WINDOW})"
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


def dashboard() -> Dashboard:
    return page(
        "ralph-dcim",
        "Ralph DCIM",
        "A web application behind the gateway: how fast it answers, who uses it, what it uses. "
        "Choose its route, and the "
        "host that it runs on.",
        team="on-call",
        job="mtail",
        variables=[
            variable("route", "Route", f"label_values({REQUESTS}{{{TARGET}}}, route)"),
            variable(
                "host",
                "Application's host",
                'label_values(up{job="node_exporter"}, instance)',
                several=False,
            ),
        ],
        content=[
            row("Performance"),
            number(
                "Requests",
                "Of the chosen routes, over the last 5 minutes.",
                "reqps",
                (f"sum(instance_route:lookout_http_requests:rate5m{{{ROUTES}}})", "requests"),
                decimals=2,
            ),
            number(
                "Error rate, worst route",
                "Answers 5xx among all, over the last 5 minutes.",
                "percent",
                (
                    "100 * "
                    f"max(instance_route:lookout_http_request_errors:ratio_rate5m{{{ROUTES}}})",
                    "5xx",
                ),
                limits=["request_errors_percent"],
                empty="no requests",
                decimals=1,
            ),
            number(
                "Response time, slowest route",
                "19 of 20 requests of the last 5 minutes were faster.",
                "s",
                (f"max(instance_route:{DURATION}:p95_rate5m{{{ROUTES}}})", "p95"),
                limits=["request_duration_seconds"],
                empty="no requests",
            ),
            number(
                "Sign-ins refused, last hour",
                "A wrong password, or too many attempts at once.",
                "short",
                (f"sum(increase({FAILURES}{{{ROUTES}}}[1h]))", "refused"),
                alerts=["PasswordGuessing"],
                decimals=0,
            ),
            graph(
                "Requests by route",
                "How much each application is used.",
                "reqps",
                (
                    f"sum by (route) (instance_route:lookout_http_requests:rate5m{{{ROUTES}}})",
                    "{{route}}",
                ),
            ),
            graph(
                "Response time",
                "Of all chosen routes: half of the requests, 19 of 20 and 99 of 100 were "
                "faster. Websockets are left out.",
                "s",
                (quantile(0.5), "half"),
                (quantile(0.95), "95 %"),
                (quantile(0.99), "99 %"),
                limits=["request_duration_seconds"],
                colours={"half": GREEN, "95 %": ORANGE, "99 %": RED},
            ),
            graph(
                "Error rate by route",
                "Answers 5xx among all answers of a route.",
                "percent",
                (
                    "100 * max by (route) "
                    f"(instance_route:lookout_http_request_errors:ratio_rate5m{{{ROUTES}}})",
                    "{{route}}",
                ),
                limits=["request_errors_percent"],
                alerts=["UpstreamFailing"],
            ),
            graph(
                "Response time by route",
                "19 of 20 requests were faster.",
                "s",
                (f"max by (route) (instance_route:{DURATION}:p95_rate5m{{{ROUTES}}})", "{{route}}"),
                limits=["request_duration_seconds"],
            ),
            row("User activity"),
            graph(
                "Answers by status",
                "2xx went well, 4xx is the client's mistake, 5xx the application's.",
                "reqps",
                (
                    "sum by (class) "
                    f"(instance_route_class:lookout_http_requests:rate5m{{{ROUTES}}})",
                    "{{class}}",
                ),
                stacked=True,
                colours={"2xx": GREEN, "3xx": BLUE, "4xx": ORANGE, "5xx": RED, "1xx": PURPLE},
            ),
            graph(
                "Requests by method",
                "GET reads; POST, PUT, PATCH and DELETE change something.",
                "reqps",
                (f"sum by (method) (rate({REQUESTS}{{{ROUTES}}}{WINDOW}))", "{{method}}"),
                stacked=True,
            ),
            graph(
                "Sign-ins refused",
                "Within 10 minutes: `password` was wrong, `limited` came too often. The line is "
                "where the alert begins "
                "for one route.",
                "short",
                (f"sum by (reason) (increase({FAILURES}{{{ROUTES}}}[10m]))", "{{reason}}"),
                limits=["sign_in_failures"],
                stacked=True,
            ),
            graph(
                "Sent to clients",
                "Bodies of answers, by route.",
                "Bps",
                (
                    f"sum by (route) (rate(lookout_http_response_bytes_total{{{ROUTES}}}{WINDOW}))",
                    "{{route}}",
                ),
            ),
            row("Resources of $host"),
            graph(
                "CPU busy",
                "Of the application's host.",
                "percent",
                (
                    "100 * (1 - avg by (instance) (sum by (instance, cpu) "
                    f'(rate(node_cpu_seconds_total{{{HOST},mode=~"idle|iowait|steal"}}{WINDOW}))))',
                    "{{instance}}",
                ),
                limits=["cpu_busy_percent"],
                maximum=100,
                width=THIRD,
            ),
            graph(
                "Memory available",
                "Of the application's host.",
                "percent",
                (
                    f"100 * sum by (instance) (node_memory_MemAvailable_bytes{{{HOST}}}) "
                    f"/ sum by (instance) (node_memory_MemTotal_bytes{{{HOST}}})",
                    "{{instance}}",
                ),
                limits=["memory_available_percent"],
                maximum=100,
                width=THIRD,
            ),
            graph(
                "Connections of the gateway",
                "`waiting` are open and idle, the others have a request.",
                "short",
                *(
                    (
                        f'sum(nginx_connections_{state}{{job="nginx_exporter",instance=~"$instance"}})',
                        state,
                    )
                    for state in ("reading", "writing", "waiting")
                ),
                alerts=["NginxConnectionsDropped"],
                stacked=True,
                width=THIRD,
            ),
        ],
    )
