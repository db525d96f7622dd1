"""A jump of what is measured, on both sites at once: an alert with the band, and its end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hosts import connect, host_names, wait_for
from stage import ask, new_token, prometheus, run, series, wait_for_the_next_step
from testinfra.host import Host

STEPS = 4


def alerts(host: Host) -> list[dict[str, Any]]:
    """ForecastAnomaly of the series that jumps."""
    return [
        alert
        for alert in prometheus(host, "alerts")["alerts"]
        if alert["labels"]["alertname"] == "ForecastAnomaly"
        and (alert["labels"]["series"], alert["labels"]["target"]) == ("load", "web")
    ]


def firing(host: Host) -> list[dict[str, Any]]:
    return [alert for alert in alerts(host) if alert["state"] == "firing"]


def until_seen(tokens: dict[str, str], seen: Callable[[Any], bool]) -> dict[str, Any]:
    """Forecast, step by step, until all hosts see it; what they know of the series then."""
    found: dict[str, Any] = {}
    for _ in range(STEPS):
        wait_for_the_next_step(connect(next(iter(tokens))))
        for name, token in tokens.items():
            assert run(connect(name), "forecast") == 0
            found[name] = series(connect(name), token)["load web"]
        if all(map(seen, found.values())):
            return found
    raise AssertionError(found)


def test_a_jump_fires_with_its_band_and_resolves() -> None:
    hosts = {name: connect(name) for name in host_names()}
    tokens = {name: new_token(host, "anomaly") for name, host in hosts.items()}
    for host in hosts.values():
        assert alerts(host) == []
        host.check_output("touch /root/jump")
    jumped = until_seen(tokens, lambda one: one["anomaly"]["raised"])
    for name, host in hosts.items():
        measured, expected = jumped[name]["measured"]["value"], jumped[name]["expected"]
        assert expected["lower"] < expected["value"] < expected["upper"] < measured - 20
        (alert,) = wait_for(lambda host=host: firing(host), 60)
        labels, said = alert["labels"], alert["annotations"]
        assert (labels["instance"], labels["host"]) == (name, name)
        assert labels["severity"] == "warning"
        assert "load web is" in said["summary"]
        edges = re.match(r"From ([0-9.]+) to ([0-9.]+) would be expected", said["description"])
        assert edges, said
        assert abs(float(edges[1]) - expected["lower"]) < 1
        assert abs(float(edges[2]) - expected["upper"]) < 1
        print(f"{name}: {said['summary']}. {said['description']}")
        status, listed = ask(host, "anomalies?series=load", tokens[name])
        (one,) = [each for each in listed["anomalies"] if each["target"] == "web"]
        assert (status, one["raised"], one["ended"]) == (200, True, None)

    for host in hosts.values():
        host.check_output("rm /root/jump")
    until_seen(tokens, lambda one: not one["anomaly"]["anomalous"])
    for name, host in hosts.items():
        assert wait_for(lambda host=host: not alerts(host), 60)
        _, listed = ask(host, "anomalies?series=load", tokens[name])
        (one,) = [each for each in listed["anomalies"] if each["target"] == "web"]
        assert one["ended"] > one["started"]
