"""Forecasts of a real Prometheus' samples, and the API behind the gateway."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from parts import Registered
from play import playbook
from stage import URL, bring, metrics, run
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

UNIT = "lookout-forecaster.service"
GATEWAY = "https://localhost/forecaster"
SITE_CURL = "curl -sS --cacert /etc/lookout/tls/ca.pem"
MOST_MEMORY_KB = 60 * 1024


@pytest.fixture(scope="module", autouse=True)
def samples(host: Host) -> None:
    bring(host)


@pytest.fixture(scope="module")
def token(host: Host) -> str:
    """A program's token for everything."""
    host.check_output("lookout-token revoke robot || test $? = 2")
    made = host.check_output("lookout-token create robot --scope read --scope train")
    return str(made).strip()


def ask(host: Host, path: str, token: str, *options: str) -> tuple[int, Any]:
    """Status and body of an answer at the gateway."""
    given = host.check_output(
        f"{SITE_CURL} -w '\\n%{{http_code}}' {shlex.join(options)}"
        f" -H 'Authorization: Bearer {token}' '{GATEWAY}/api/v1/{path}'"
    )
    body, _, status = given.rpartition("\n")
    return int(status), json.loads(body) if body.startswith("{") else body


def test_samples_become_forecasts(host: Host, token: str) -> None:
    """The query that is wrong is told, the one without a series has nothing to tell."""
    told = metrics(host)
    a = 'host="a",series="load",target="a"'
    assert f"lookout_forecast_skilled{{{a}}} 1.0" in told
    assert f"lookout_forecast_anomaly{{{a}}} 0.0" in told
    assert 'lookout_forecast_query_failed{series="wrong"} 1.0' in told
    assert 'lookout_forecast_query_failed{series="none"} 0.0' in told
    status, said = ask(host, "series?series=load", token)
    assert status == 200
    one = next(series for series in said["series"] if series["target"] == "a")
    assert one["state"] == "forecast", one
    assert [ahead["horizon"] for ahead in one["horizons"]] == ["1h", "6h", "24h"]
    assert one["expected"]["lower"] < one["measured"]["value"] < one["expected"]["upper"]
    status, said = ask(host, f"forecast/{one['id']}", token)
    assert (status, len(said["path"]["values"])) == (200, 288)
    status, said = ask(host, "models", token)
    assert {model["state"] for model in said["models"]} == {"trained"}
    _, said = ask(host, "series?series=disk", token)
    (bound,) = said["series"][0]["bounds"]
    assert 2 * 86400 < bound["seconds"] < 4 * 86400


def test_nobody_gets_in_without_a_token(host: Host, token: str) -> None:
    for path in ("series", "models", "openapi.json", "nowhere"):
        assert ask(host, path, "wrong")[0] == 401
    assert ask(host, "health", "wrong") == (200, {"status": "ok"})
    assert ask(host, "../../metrics", token)[0] == 403
    refused = host.run(f"curl -fsS --cacert /etc/lookout/tls/ca.pem {URL}/api/v1/health")
    assert refused.rc != 0, "without a certificate of the site"


def test_a_training_that_is_asked_for_is_done(host: Host, token: str) -> None:
    body = '{"series": ["load"]}'
    status, said = ask(
        host, "train", token, "-X", "POST", "-H", "Content-Type: application/json", "-d", body
    )
    assert (status, said["state"]) == (202, "waiting")
    assert run(host, "asked") == 0
    _, said = ask(host, f"train/{said['id']}", token)
    assert said["state"] == "done", said
    assert said["said"].startswith("2 models trained")


def test_a_rotation_brings_a_new_token_home(host: Host, token: str) -> None:
    name = host.check_output("hostname")
    done = playbook("playbooks/rotate_tokens.yml", "--limit", name)
    assert done.returncode == 0, done.stdout
    assert "robot has until 24 hours" in done.stdout
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory/secrets"
    kept = folder / f"forecaster_token_{name}_robot"
    new = kept.read_text(encoding="ascii").strip()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert new not in done.stdout
    assert host.check_output("ls /etc/lookout/forecaster.handover") == ""
    assert ask(host, "series", token)[0] == 200
    assert ask(host, "series", new)[0] == 200
    states = {row["state"] for row in json.loads(host.check_output("lookout-token list --json"))}
    assert states == {"valid", "replaced"}


def test_the_tokens_are_for_the_api_alone(host: Host) -> None:
    file = host.file("/etc/lookout/forecaster.tokens/tokens.json")
    assert (file.user, file.group, file.mode) == ("root", "lookout-forecaster", 0o640)
    refused = host.run(
        "runuser -u lookout-forecaster -- touch /etc/lookout/forecaster.tokens/other"
    )
    assert refused.rc != 0


def test_what_it_registers_can_be_saved_and_judged(host: Host) -> None:
    check = [word.replace("{files}", "") for word in Registered(host, "forecaster").part.check]
    assert host.check_output(shlex.join(check)) == "all models can be loaded"
    models = host.check_output("ls /var/lib/lookout/models").split()
    assert len(models) == 4
    cut = f"head -c 1000 {check[-1]}/{models[0]} > /root/copy/{models[0]}"
    host.check_output(f"mkdir -p /root/copy && {cut}")
    judged = host.run(shlex.join([*check[:-1], "/root/copy"]))
    assert judged.rc == 1
    assert models[0] in judged.stdout


def test_it_is_small_and_may_do_little(host: Host) -> None:
    assert_hardened(host, UNIT, 2.0, "lookout-forecaster")
    pid = main_pid(host, UNIT)
    assert "numpy" not in host.check_output(f"cat /proc/{pid}/maps")
    smaps = host.check_output(f"cat /proc/{pid}/smaps_rollup")
    pss = next(int(line.split()[1]) for line in smaps.splitlines() if line.startswith("Pss:"))
    print(f"PSS of the API: {pss / 1024:.1f} MB")
    assert pss < MOST_MEMORY_KB


def test_it_survives_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, f"{URL}/api/v1/health", 10)
