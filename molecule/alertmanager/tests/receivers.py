"""What arrives at the receivers beside Alertmanager, and the way to send alerts in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hosts import CURL
from testinfra.host import Host

API = "https://127.0.0.1:9093"
PASSWORD = "canary-f3b1c7"  # noqa: S105
HOOKS_LOG, MAILS_LOG = "/run/hooks.jsonl", "/run/mails.jsonl"


def alert(
    name: str, began_seconds_ago: float = 0, ends_in_seconds: float = 300, **labels: str
) -> dict[str, Any]:
    """An alert as Prometheus sends it; one that ends now is resolved."""
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, **labels},
        "annotations": {
            "summary": f"{labels.get('instance')}: the disk of {name} is full",
            "description": "Nothing can be written any more.",
            "runbook": f"docs/runbooks/node_exporter.md#{name.lower()}",
        },
        "startsAt": (now - timedelta(seconds=began_seconds_ago)).isoformat(),
        "endsAt": (now + timedelta(seconds=ends_in_seconds)).isoformat(),
    }


@dataclass(frozen=True)
class Receivers:
    """What has arrived so far at the receivers of one host, and the way to send alerts in."""

    host: Host

    def lines(self, log: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.host.run(f"cat {log}").stdout.splitlines()]

    def hooks(self, path: str) -> list[dict[str, Any]]:
        """Bodies that a webhook got."""
        return [line["body"] for line in self.lines(HOOKS_LOG) if line["path"] == f"/{path}"]

    def alerts(self, path: str, name: str) -> list[dict[str, Any]]:
        """Alerts of one name that a webhook was told of, in order."""
        return [
            alert
            for body in self.hooks(path)
            for alert in body["alerts"]
            if alert["labels"]["alertname"] == name
        ]

    def told_about(self, name: str) -> set[str]:
        """The webhooks that were told of an alert."""
        return {
            line["path"][1:]
            for line in self.lines(HOOKS_LOG)
            if any(alert["labels"]["alertname"] == name for alert in line["body"]["alerts"])
        }

    def mails(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines(MAILS_LOG) if name in line["subject"]]

    def send(self, name: str, **labels: str) -> dict[str, str]:
        """Fire one alert, as Prometheus does. Returns its annotations."""
        one = alert(name, **labels)
        self.post("/api/v2/alerts", [one])
        return one["annotations"]  # type: ignore[no-any-return]

    def post(self, path: str, body: object) -> str:
        return self.host.check_output(
            f"{CURL} --header 'Content-Type: application/json' --data %s %s",
            json.dumps(body),
            API + path,
        )

    def get(self, path: str) -> Any:
        return json.loads(self.host.check_output(f"{CURL} {API}{path}"))

    def active(self, name: str) -> list[dict[str, Any]]:
        """Alerts of one name as Alertmanager shows them, with their state."""
        return [a for a in self.get("/api/v2/alerts") if a["labels"]["alertname"] == name]
