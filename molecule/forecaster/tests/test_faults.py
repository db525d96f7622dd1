"""What goes wrong is said, and costs nothing that there was."""

from __future__ import annotations

from hosts import wait_for
from stage import (
    MODELS,
    fingerprints,
    log_since,
    metrics,
    models,
    now,
    run,
    series,
    start_prometheus,
)
from testinfra.host import Host

BOOK = "/run/lookout/forecaster/forecasts.book"
# The first line of the book says when the forecasts were made.
OLDER = f"""
import json, re
from pathlib import Path
book = Path("{BOOK}")
head, _, rest = book.read_bytes().partition(b"\\n")
made = json.loads(head)["made"]
book.write_bytes(head.replace(str(made).encode(), str(made - 1000).encode()) + b"\\n" + rest)
"""


def has_forecasts(host: Host) -> bool:
    return any(line.startswith("lookout_forecast_value{") for line in metrics(host))


def test_without_prometheus_nothing_is_lost(host: Host, token: str) -> None:
    before, began = fingerprints(host), now(host)
    failures = {name: one["failures"] for name, one in models(host, token).items()}
    assert has_forecasts(host)
    host.check_output("systemctl stop prometheus")
    assert run(host, "forecast") == 1
    assert run(host, "train") == 1
    one = series(host, token)["load web"]
    assert one["state"] == "unknown"
    assert "efused" in one["reason"], one
    assert not has_forecasts(host)
    assert {
        line for line in metrics(host) if "query_failed{" in line and line.endswith("0.0")
    } == set()
    told = log_since(host, began)
    assert "load has no forecast now" in told
    assert "load is not trained" in told
    assert "Traceback" not in told
    assert fingerprints(host) == before
    for name, training in models(host, token).items():
        assert training["failures"] == failures[name] + 1, name

    start_prometheus(host)
    assert run(host, "forecast") == 0
    assert series(host, token)["load web"]["state"] == "forecast"
    assert has_forecasts(host)


def test_forecasts_of_yesterday_are_told_to_nobody(host: Host) -> None:
    host.check_output("python3 -c %s", OLDER)
    told = metrics(host)
    assert not has_forecasts(host)
    assert any(line.startswith("lookout_forecast_last_run_timestamp_seconds") for line in told)
    assert run(host, "forecast") == 0
    assert has_forecasts(host)


def test_a_damaged_model_and_a_worse_one(host: Host, token: str) -> None:
    """The damaged one is named and made anew; the good one stays, as the new one is worse."""
    known = series(host, token)
    web, db, turned = (known[f"load {kind}"]["id"] for kind in ("web", "db", "turned"))
    put_in_place = (
        "from lookout.forecaster.jobs.shelf import Shelf; from pathlib import Path;"
        f" shelf = Shelf(Path('{MODELS}')); shelf.save('{turned}', shelf.load('{web}'))"
    )
    host.check_output(
        "runuser -u lookout-forecaster -- /opt/lookout/forecaster/current/bin/python -c %s",
        put_in_place,
    )
    good = fingerprints(host)[f"{turned}.json"]
    host.check_output(f'sed -i \'s/"seasons":/"seasons":1/\' {MODELS}/{db}.json')
    assert run(host, "forecast") == 0
    known = series(host, token)
    assert known["load web"]["state"] == "forecast"
    assert known["load db"]["state"] == "untrained"
    assert f"{MODELS}/{db}.json: does not match its hash" in known["load db"]["reason"]

    assert run(host, "train") == 0
    assert run(host, "forecast") == 0
    assert {series(host, token)[f"load {kind}"]["state"] for kind in ("web", "db")} == {"forecast"}
    trainings = models(host, token)
    assert trainings["load db"]["state"] == "trained"
    assert trainings["load turned"]["state"] == "kept"
    assert "on the newest values its mean error is" in trainings["load turned"]["reason"]
    assert fingerprints(host)[f"{turned}.json"] == good


def test_a_broken_file_of_tokens_leaves_the_former_ones(host: Host, token: str) -> None:
    file = "/etc/lookout/forecaster.tokens/tokens.json"
    host.check_output(f"cp -p {file} /root/tokens.json")
    host.check_output(f"printf '{{\"tokens\": [' > {file}")
    assert series(host, token)
    assert "lookout_api_token_file_whole 0.0" in metrics(host)
    listed = host.run("lookout-token list")
    assert listed.rc == 2
    assert "tokens.json" in listed.stderr
    host.check_output(f"cp /root/tokens.json {file}")
    assert wait_for(lambda: series(host, token), 5)
    assert "lookout_api_token_file_whole 1.0" in metrics(host)
