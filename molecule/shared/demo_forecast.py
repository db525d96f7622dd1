"""Forecasts of the running demo, end to end: samples, models, an alert, dashboard, a restore.

A load with two weeks of past is brought onto the demo's host, and goes on there. It jumps; the
alert of that is waited for as a site would have it, ten minutes long. `make demo-down` ends it all.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "molecule/forecaster/tests"), str(ROOT / "tests/contracts")]

import demo  # noqa: E402
import stage  # noqa: E402
import testbed  # noqa: E402
from dashboard_gate import dead_queries  # noqa: E402
from dashboard_queries import Query, dashboards, queries  # noqa: E402
from hosts import entered, put  # noqa: E402
from rebuild_drill import HOST, DrillError, Watch, back_up, running  # noqa: E402
from testinfra.host import Host  # noqa: E402

PLAYBOOK = "molecule/shared/demo_forecast.yml"
PYTHON = "/opt/lookout/forecaster/current/bin/python"
CONFIG = "/etc/lookout/forecaster/forecaster.yml"
# Of what the dashboard looks back on; and when there was a jump already
PAST_HOURS, JUMPED_HOURS = 48, 20
# The alert waits for ten minutes, and the forecasts are made every five.
ALERT_SECONDS, END_SECONDS = 25 * 60, 12 * 60
WEB = "load web"
CLIENT = "demo"
DAMAGED, LOST = "load web", "load db"


def bring(host: Host) -> None:
    """The load, its past, and what the forecaster would have said of its last two days."""
    if host.file(stage.TEXT_FILE).exists:
        return
    began = stage.fill(host, JUMPED_HOURS)
    with demo.LOG.open("a", encoding="utf-8") as log:
        demo.playbook(log, *demo.inventory(demo.grafana_settings()), PLAYBOOK)
    put(host, stage.FILES / "history.py")
    stage.backfill(host, f"{PYTHON} history.py {CONFIG} demo {began} {PAST_HOURS}")


def train(host: Host) -> str:
    """Models and forecasts, as the timers make them; returns what the training says."""
    began = stage.now(host)
    for job in ("train", "forecast"):
        if stage.run(host, job):
            raise DrillError(f"{job} failed:\n{stage.log_since(host, began)}")
    said = stage.log_since(host, began)
    return next(line for line in said.splitlines() if "models trained" in line)


def ask_the_dashboard(host: Host, token: str) -> None:
    """Every query of ML Insights has series."""
    stage.ask(host, "series", "wrong")
    stage.series(host, token)
    if found := dead_queries(host, "demo", asked()):
        raise DrillError("\n".join(found))


def asked() -> list[Query]:
    """What ML Insights asks."""
    return [
        one for board in dashboards() if board["uid"] == "ml-insights" for one in queries(board)
    ]


def alert(host: Host) -> dict[str, Any] | None:
    """What Alertmanager knows of the load that jumps; None: nothing."""
    wanted = "alertname=ForecastAnomaly series=load target=web"
    found: list[dict[str, Any]] = json.loads(
        host.check_output(f"amtool alert query --output=json {wanted}")
    )
    return found[0] if found else None


def until(what: str, seconds: int, seen: Callable[[], Any]) -> Any:
    """The first true answer. Nothing is hurried: timers and rules are those of a site."""
    given_up = time.monotonic() + seconds
    while not (answer := seen()):
        if time.monotonic() > given_up:
            raise DrillError(f"{what}: not within {seconds / 60:.0f} minutes")
        time.sleep(5)
    return answer


def jump(host: Host, token: str, watch: Watch) -> dict[str, Any]:
    """The load jumps: an alert with its band, and its end."""
    if alert(host):
        raise DrillError("there is an alert before anything happened")
    host.check_output("touch /root/jump")
    with watch.step("wait for the alert of a jump at Alertmanager"):
        fired: dict[str, Any] = until("the alert", ALERT_SECONDS, lambda: alert(host))
    one = stage.series(host, token)[WEB]
    edges = re.match(r"From ([0-9.]+) to ([0-9.]+) would", fired["annotations"]["description"])
    if not edges or not one["anomaly"]["raised"]:
        raise DrillError(f"the alert names no band, or there is no anomaly: {fired}, {one}")
    lower, upper = float(edges[1]), float(edges[2])
    if not lower < upper < one["measured"]["value"]:
        raise DrillError(f"{one['measured']} is not above the band of the alert: {fired}")
    # Now there is an anomaly to be drawn.
    with watch.step("ask what the dashboard ML Insights asks"):
        ask_the_dashboard(host, token)
    host.check_output("rm /root/jump")
    with watch.step("wait until it resolves"):
        until("the end of the alert", END_SECONDS, lambda: alert(host) is None)
    return fired


def known(host: Host, token: str) -> dict[str, Any]:
    """What the API says of the models, and their files."""
    models = stage.models(host, token)
    return {
        "files": stage.fingerprints(host),
        **{name: one["model"] for name, one in models.items()},
    }


def restore(host: Host, token: str) -> None:
    """Lose a model, damage another, and have both back."""
    before = known(host, token)
    back_up()
    found = stage.series(host, token)
    host.check_output(f"truncate -s 1000 {stage.MODELS}/{found[DAMAGED]['id']}.json")
    host.check_output(f"rm {stage.MODELS}/{found[LOST]['id']}.json")
    stage.run(host, "forecast")
    states = {name: stage.series(host, token)[name]["state"] for name in (DAMAGED, LOST)}
    if set(states.values()) != {"untrained"}:
        raise DrillError(f"without their models they are forecast: {states}")
    # What a former restore kept would be in the way.
    host.check_output("lookout-restore --forget-aside --yes")
    host.check_output("lookout-restore latest forecaster --yes")
    if known(host, token) != before:
        raise DrillError("the models are others than those that were saved")
    stage.run(host, "forecast")
    states = {name: stage.series(host, token)[name]["state"] for name in (DAMAGED, LOST)}
    if set(states.values()) != {"forecast"}:
        raise DrillError(f"they are not forecast after the restore: {states}")


def prove(host: Host, watch: Watch) -> None:
    """All of it; raises DrillError."""
    with watch.step("bring a load with two weeks of past"):
        bring(host)
    with watch.step("train models, forecast"):
        said = train(host)
    token = stage.new_token(host, CLIENT)
    fired = jump(host, token, watch)
    with watch.step("back up, lose models, restore"):
        restore(host, token)
    print(f"\n  {'step':<48}minutes")
    for what, took in watch.steps:
        print(f"  {what:<48}{took:>7.1f}")
    notes = fired["annotations"]
    look = f"--minutes {60 * PAST_HOURS} --pick series=load target=web -- ml-insights"
    print(
        f"\n  Training: {said}\n  Dashboard: all {len(asked())} queries of ML Insights have series."
        f"\n  Alert: {notes['summary']}.\n    {notes['description']}"
        f"\n    It began at {fired['startsAt'][:19]}, and has ended."
        "\n  Restore: the models are those that were saved, to the byte.\n"
        f"\n  Look at it: `make dashboards-preview ASK='{look}'`,"
        "\n  and in Grafana where the demo has it."
    )


def main() -> int:
    try:
        if not running():
            raise DrillError("there is no demo here: `make demo` first")
        prove(entered(HOST), Watch())
    except (testbed.TestbedError, DrillError, AssertionError) as error:
        testbed.say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
