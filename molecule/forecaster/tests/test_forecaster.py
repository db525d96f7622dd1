"""Forecasts of a real Prometheus' samples, and the API behind the gateway."""

from __future__ import annotations

import shlex

import yaml
from hosts import put, wait_for
from parts import DRILL, Registered
from stage import FILES, MODELS, SITE_CURL, UNIT, URL, ask, metrics, models, prometheus, run, series
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

PYTHON = "/opt/lookout/forecaster/current/bin/python"
DAY = 86_400
MOST_MEMORY_KB = 60 * 1024
MOST_JOB_KB = 120 * 1024
# Highest resident memory of a job while it runs, as no controller counts it in a container
PEAK = """
systemctl start --no-block $1
peak=0
until test "$(systemctl show -P ActiveState $1)" = activating; do sleep 0.05; done
while test "$(systemctl show -P ActiveState $1)" = activating; do
    now=$(awk '/^VmHWM:/ {print $2}' /proc/$(systemctl show -P MainPID $1)/status 2>/dev/null)
    test "${now:-0}" -le $peak || peak=$now
    sleep 0.05
done
echo $peak
"""


def test_samples_become_forecasts(host: Host, token: str, trained: dict[str, str]) -> None:
    """Two steps, 14 days; a query that is wrong, one without a series, one without a past."""
    said = trained[host.check_output("hostname")]
    assert "wrong is not trained" in said
    assert "young" in said
    assert "is shorter than the 7 days needed" in said
    assert "without an answer: wrong" in said

    known = series(host, token)
    for name, steps in (("load web", 2880), ("load db", 2880), ("slow web", 288)):
        one = known[name]
        assert (one["state"], one["skilled"]) == ("forecast", True), one
        assert [ahead["horizon"] for ahead in one["horizons"]] == ["1h", "6h", "24h"]
        for ahead in one["horizons"]:
            assert ahead["lower"] < ahead["value"] < ahead["upper"]
        status, path = ask(host, f"forecast/{one['id']}", token)
        assert (status, len(path["path"]["values"])) == (200, steps)
    (bound,) = known[f"disk {host.check_output('hostname')}"]["bounds"]
    assert 2 * DAY < bound["earliest_seconds"] <= bound["seconds"] < 4 * DAY
    young = next(one for name, one in known.items() if name.startswith("young"))
    assert young["state"] == "refused"
    assert "is shorter than the 7 days needed" in young["reason"]

    trainings = models(host, token)
    for name in ("load web", "load db", "slow web"):
        model = trainings[name]["model"]
        assert model["error_ratio"] < 0.9, model
        assert 0.7 < model["coverage"] <= 1, model
        print(f"{name}: {model['method']}, {model['error_ratio']} of as yesterday's error,"
              f" coverage {model['coverage']}")  # fmt: skip


def test_prometheus_is_told_of_them(host: Host) -> None:
    told = metrics(host)
    name = host.check_output("hostname")
    web = f'host="{name}",series="load",target="web"'
    assert f"lookout_forecast_skilled{{{web}}} 1.0" in told
    assert 'lookout_forecast_query_failed{series="wrong"} 1.0' in told
    assert 'lookout_forecast_query_failed{series="none"} 0.0' in told
    refused = [line for line in told if line.startswith("lookout_forecast_series_refused{")]
    assert next(line for line in refused if 'series="young"' in line).endswith(" 1.0")
    for metric in ("value", "lower", "upper"):
        query = f'lookout_forecast_{metric}{{job="forecaster",series="load",target="web"}}'
        kept = wait_for(lambda query=query: prometheus(host, "query", query=query)["result"], 30)
        assert {one["metric"]["horizon"] for one in kept} == {"1h", "6h", "24h"}


def test_nobody_gets_in_without_a_token(host: Host, token: str) -> None:
    for path in ("series", "models", "openapi.json", "nowhere"):
        assert ask(host, path, "wrong")[0] == 401
    assert ask(host, "health", "wrong") == (200, {"status": "ok"})
    assert ask(host, "../../metrics", token)[0] == 403
    refused = host.run(f"curl -fsS --cacert /etc/lookout/tls/ca.pem {URL}/api/v1/health")
    assert refused.rc != 0, "without a certificate of the site"
    missing = host.check_output(
        f"{SITE_CURL} -o /dev/null -w '%{{http_code}}' https://localhost/forecaster/api/v1/series"
    )
    assert missing == "401"


def test_a_training_that_is_asked_for_is_done(host: Host, token: str) -> None:
    # What the forecaster has asked for by itself would be done at once with it.
    assert run(host, "asked") == 0
    body = '{"series": ["slow"]}'
    status, said = ask(
        host, "train", token, "-X", "POST", "-H", "Content-Type: application/json", "-d", body
    )
    assert (status, said["state"]) == (202, "waiting")
    assert run(host, "asked") == 0
    _, said = ask(host, f"train/{said['id']}", token)
    assert said["state"] == "done", said
    assert said["said"].startswith("1 models trained")


def test_what_it_registers_can_be_saved_and_judged(host: Host) -> None:
    """A copy's models can be loaded, and forecast what the originals do."""
    part = Registered(host, "forecaster")
    part.assert_a_copy_is_good()
    assert part.check().stdout.strip() == "all models can be loaded"
    put(host, FILES / "same.py")
    same = host.check_output(
        f"cd /root && PYTHONDONTWRITEBYTECODE=1 {PYTHON} same.py {MODELS} {DRILL}/files{MODELS}"
    )
    assert same == "6 models forecast the same"
    model = host.check_output(f"ls {MODELS} | head -n 1")
    cut = f"truncate -s 1000 files{MODELS}/{model}"
    part.assert_damage_is_found(cut, model)
    judged = part.check()
    assert judged.rc == 1
    assert model in judged.stdout
    part.forget()


def test_the_health_checks_look_at_all_of_its_timers(host: Host) -> None:
    watched = yaml.safe_load(host.check_output("cat /etc/lookout/health.d/forecaster.yml"))
    there = host.check_output("cd /etc/systemd/system && ls lookout-forecaster*.timer").split()
    assert sorted(timer["name"] for timer in watched["timers"]) == there


def test_it_is_small_and_may_do_little(host: Host) -> None:
    assert_hardened(host, UNIT, 2.0, "lookout-forecaster")
    pid = main_pid(host, UNIT)
    assert "numpy" not in host.check_output(f"cat /proc/{pid}/maps")
    smaps = host.check_output(f"cat /proc/{pid}/smaps_rollup")
    pss = next(int(line.split()[1]) for line in smaps.splitlines() if line.startswith("Pss:"))
    print(f"PSS of the API: {pss / 1024:.1f} MB")
    assert pss < MOST_MEMORY_KB
    for job in ("train", "forecast"):
        unit = f"lookout-forecaster-{job}.service"
        peak = int(host.check_output(f"sh -c {shlex.quote(PEAK)} peak {unit}"))
        print(f"Peak of {job}: {peak / 1024:.1f} MB")
        assert 0 < peak < MOST_JOB_KB


def test_it_survives_a_kill(host: Host, token: str) -> None:
    assert_survives_a_kill(host, UNIT, f"{URL}/api/v1/health", 10)
    assert ask(host, "series", token)[0] == 200
