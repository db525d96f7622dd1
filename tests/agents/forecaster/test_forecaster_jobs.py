"""Trainings and runs of forecasts: what they write, and what they do when something is wrong."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from forecaster_stage import DAY, GONE, NOW, Api, FakePrometheus, daily

from lookout.forecaster import __main__ as program
from lookout.forecaster import training
from lookout.forecaster.__main__ import PROGRAM, serve
from lookout.forecaster.book import Book
from lookout.forecaster.files import files
from lookout.forecaster.jobs import forecast as forecast_module
from lookout.forecaster.jobs import train as train_module
from lookout.forecaster.jobs.asked import train_asked
from lookout.forecaster.jobs.forecast import Run
from lookout.forecaster.jobs.shelf import check, main
from lookout.forecaster.jobs.train import Outcome, Training
from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.prometheus import Prometheus
from lookout.forecaster.requests import Requests

STEP = 300
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def site(prometheus: FakePrometheus) -> FakePrometheus:
    """Two hosts with a daily load; two disks, one of which fills up."""
    prometheus.series["load"] = [
        ({"__name__": "load", "instance": "a", "job": "x"}, daily),
        ({"__name__": "load", "instance": "b", "job": "x"}, lambda at: daily(at) / 2),
    ]
    full = NOW + 2 * DAY
    prometheus.series["used"] = [
        ({"instance": "a", "mountpoint": "/"}, lambda at: 5e9 + 1e8 * daily(at) / 50),
        ({"instance": "a", "mountpoint": "/var"}, lambda at: 1e10 * (1 - (full - at) / (60 * DAY))),
    ]
    prometheus.series["size"] = [({"instance": "a"}, lambda _: 1e10)]
    return prometheus


def trained(options: ForecasterOptions, now: float = NOW, **only: Any) -> Outcome:
    return Training(options, Prometheus(options.source), now).run(**only)


def ran(options: ForecasterOptions, now: float = NOW) -> bool:
    return Run(options, Prometheus(options.source), now).run()


def records(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    pages = Book(path).pages()
    assert pages is not None
    read = [pages.read(one) for one in pages.ids()]
    return {(one["series"], one["target"]): one for one in read if one}


def sample(path: Path, name: str) -> float:
    (value,) = re.findall(rf"^lookout_forecast_{name} (.*)$", path.read_text(), re.MULTILINE)
    return float(value)


def succeeded(told: Path) -> dict[str, float]:
    """When a training of each query last came to something."""
    name = r'^lookout_forecast_last_training_success_timestamp_seconds\{series="(.*)"} (.*)$'
    return {found[1]: float(found[2]) for found in re.finditer(name, told.read_text(), re.M)}


def test_a_night_and_a_run(site: FakePrometheus, options: ForecasterOptions) -> None:
    assert str(trained(options)).startswith("4 models trained, 0 kept")
    models = records(files(options).trainings)
    assert {one["state"] for one in models.values()} == {"trained"}
    load = models["load", "a"]["model"]
    assert load["skilled"] is True
    assert load["mase"] < 1
    assert main(options.models_directory) == 0

    assert ran(options)
    made = records(files(options).forecasts)
    load = made["load", "a"]
    assert load["state"] == "forecast"
    assert load["measured"] == {
        "time": NOW // STEP * STEP,
        "value": pytest.approx(daily(NOW // STEP * STEP), 1e-5),
    }
    for ahead in load["horizons"]:
        assert ahead["value"] == pytest.approx(daily(ahead["time"]), abs=2)
        assert ahead["lower"] < ahead["value"] < ahead["upper"]
    assert [ahead["time"] - load["measured"]["time"] for ahead in load["horizons"]] == [
        3600,
        21_600,
        DAY,
    ]
    assert load["anomaly"]["anomalous"] is False
    (bound,) = made["disk", "a /var"]["bounds"]
    assert (bound["bound"], bound["value"]) == ("upper", 1e10)
    assert bound["seconds"] == pytest.approx(2 * DAY, rel=0.2)
    assert made["disk", "a /"]["bounds"][0]["seconds"] is None


def test_an_anomaly_is_seen_and_told(
    site: FakePrometheus, options: ForecasterOptions, api: Api
) -> None:
    trained(options)
    start = NOW // STEP * STEP - 2 * STEP
    usual = site.series["load"][0]
    site.series["load"][0] = (usual[0], lambda at: daily(at) + (25 if at >= start else 0))
    assert ran(options)
    told = api("/metrics").text
    name = '{host="a",series="load",target="a"}'
    assert f"lookout_forecast_anomaly{name} 1.0" in told
    assert 'lookout_forecast_anomaly{host="b",series="load",target="b"} 0.0' in told
    (anomaly,) = api("/api/v1/anomalies?series=load").json["anomalies"]
    assert (anomaly["target"], anomaly["started"], anomaly["ended"]) == ("a", start, None)
    assert anomaly["upper"] < anomaly["measured"]
    site.series["load"][0] = usual
    assert ran(options)
    assert f"lookout_forecast_anomaly{name} 0.0" in api("/metrics").text


def test_a_series_without_skill_raises_nothing(
    site: FakePrometheus, options: ForecasterOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = training.train
    monkeypatch.setattr(
        train_module, "train", lambda series: replace(plain(series), skill=False, reason="no good")
    )
    trained(options)
    usual = site.series["load"][0]
    site.series["load"][0] = (usual[0], lambda at: daily(at) + (25 if at > NOW - 900 else 0))
    ran(options)
    load = records(files(options).forecasts)["load", "a"]
    assert load["anomaly"]["anomalous"] is True
    assert load["anomaly"]["raised"] is False
    assert (load["skilled"], load["reason"]) == (False, "no good")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda at: daily(at) if at > NOW - 2 * DAY else GONE, "shorter than"),
        (lambda _: math.inf, "no usable sample"),
        (lambda at: daily(at) if at % 1500 == 0 else GONE, "have a value"),
    ],
)
def test_a_series_that_is_no_good_is_refused_and_the_others_go_on(
    site: FakePrometheus, options: ForecasterOptions, value: Any, says: str
) -> None:
    site.series["load"][0] = ({"instance": "bad"}, value)
    outcome = trained(options)
    assert (outcome.trained, outcome.refused) == (3, 1)
    assert says in records(files(options).trainings)["load", "bad"]["reason"]
    assert ran(options)
    made = records(files(options).forecasts)
    assert (made["load", "bad"]["state"], made["load", "b"]["state"]) == ("refused", "forecast")
    assert 'lookout_forecast_series_refused{host="bad",series="load",target="bad"} 1.0' in (
        files(options).trainings_told.read_text()
    )


def test_two_series_of_one_target_are_told_as_one(
    site: FakePrometheus, options: ForecasterOptions, api: Api
) -> None:
    """Two samples of the same labels are an error to whoever scrapes them."""
    site.series["used"] = [
        ({"instance": "a", "mountpoint": "/", "device": device}, daily) for device in "xyz"
    ]
    trained(options)
    assert ran(options)
    told = [line.rpartition(" ")[0] for line in api("/metrics").text.splitlines()]
    assert len({*told}) == len(told)
    name = '{host="a",series="disk",target="a /"}'
    text = files(options).trainings_told.read_text()
    assert f"lookout_forecast_series_refused{name} 1.0" in text
    assert f"lookout_forecast_skilled{name} 1.0" in text


def test_a_constant_series_is_forecast_without_skill(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    site.series["load"][0] = ({"instance": "a"}, lambda _: 3.0)
    trained(options)
    ran(options)
    load = records(files(options).forecasts)["load", "a"]
    assert (load["state"], load["skilled"]) == ("forecast", False)
    assert {ahead["value"] for ahead in load["horizons"]} == {3.0}


def test_a_training_that_fails_costs_no_model(
    site: FakePrometheus, options: ForecasterOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(options)
    before = {path.name: path.read_bytes() for path in options.models_directory.iterdir()}
    plain = training.train

    def fails(series: Any) -> Any:
        if series.values[-1] > 1e9:
            raise ZeroDivisionError("nought")
        return plain(series)

    monkeypatch.setattr(train_module, "train", fails)
    outcome = trained(options, NOW + DAY)
    assert (outcome.trained, outcome.failed) == (2, 2)
    made = records(files(options).trainings)
    assert (made["disk", "a /"]["state"], made["disk", "a /"]["failures"]) == ("failed", 1)
    assert made["disk", "a /"]["reason"] == "ZeroDivisionError: nought"
    assert made["disk", "a /"]["model"]["mase"] is not None
    after = {path.name: path.read_bytes() for path in options.models_directory.iterdir()}
    assert sum(after[name] == before[name] for name in before) == 2
    assert ran(options, NOW + DAY)
    assert records(files(options).forecasts)["disk", "a /"]["state"] == "forecast"


def test_a_first_training_that_fails_is_told(
    site: FakePrometheus, options: ForecasterOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a counter that begins with one failure nobody sees an increase."""

    def fails(_: Any) -> Any:
        raise ZeroDivisionError("nought")

    told, name = files(options).trainings_told, '{host="b",series="load",target="b"}'
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "train", fails)
        assert trained(options).failed == 4
    assert f"lookout_forecast_training_failed{name} 1.0" in told.read_text()
    assert trained(options).trained == 4
    assert f"lookout_forecast_training_failed{name} 0.0" in told.read_text()
    site.fails = (503, b"no")
    trained(options)
    assert f"lookout_forecast_training_failed{name} 0.0" in told.read_text(), "the query is told of"
    assert f"lookout_forecast_training_failures_total{name} 2.0" in told.read_text()
    load = records(files(options).trainings)["load", "b"]
    assert (load["state"], load["failures"]) == ("unanswered", 2)


def test_a_worse_model_is_not_taken(
    site: FakePrometheus, options: ForecasterOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(options)
    plain = training.train

    def poor(series: Any) -> Any:
        model = plain(series)
        return replace(model, profile=model.profile + 30, near=0 * model.near, far=0 * model.far)

    monkeypatch.setattr(train_module, "train", poor)
    outcome = trained(options, NOW + DAY, only=["load"])
    assert (outcome.trained, outcome.kept) == (0, 2)
    made = records(files(options).trainings)
    assert (made["load", "a"]["state"], made["load", "a"]["failures"]) == ("kept", 0)
    assert made["disk", "a /"]["state"] == "trained", "it was not asked for, and stays"


def test_a_prometheus_that_is_gone_is_told(
    site: FakePrometheus, options: ForecasterOptions, api: Api
) -> None:
    trained(options)
    assert ran(options)
    site.fails = (503, b"no")
    assert not ran(options, NOW + 300)
    load = records(files(options).forecasts)["load", "a"]
    assert load["state"] == "unknown"
    assert load["reason"].endswith("503 no")
    api.clock[0] = NOW + 300
    told = api("/metrics").text
    assert "lookout_forecast_last_run_timestamp_seconds 1.7900001e+09" in told
    assert 'lookout_forecast_query_failed{series="load"} 1.0' in told
    assert "lookout_forecast_value{" not in told
    assert trained(options, NOW + 300).queries_failed == ["load", "disk"]
    assert check(options.models_directory) == []
    site.fails = None
    assert ran(options, NOW + 600)
    assert records(files(options).forecasts)["load", "a"]["state"] == "forecast"


def test_a_source_that_hangs_leaves_time_to_say_so(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    """It accepts, and never answers: a run that waits for each query is ended before it writes."""
    one = options.series["load"]
    names = [f"load{number}" for number in range(5)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        source = replace(options.source, url=url, timeout_seconds=1)
        hangs = replace(options, series=dict.fromkeys(names, one))
        began = time.monotonic()
        assert not Run(hangs, Prometheus(source, seconds=3), NOW).run()
        # Five times the source's limit, were each of them waited for
        assert time.monotonic() - began < 4
    told = files(options).run_told.read_text()
    for name in names:
        assert f'query_failed{{series="{name}"}} 1.0' in told
    head = Book(files(options).forecasts).pages().head["queries"]  # type: ignore[union-attr]
    assert head["load0"]["reason"].endswith("timed out")
    assert head["load4"]["reason"].endswith("was not asked: answers before took too long")


def test_a_run_has_ended_before_its_unit_is_ended() -> None:
    """Half a minute is left for what is done with the answers, and half an hour for trainings."""
    role = yaml.safe_load((ROOT / "roles/forecaster/vars/main.yml").read_text(encoding="utf-8"))
    ended = {one["name"]: one["timeout_seconds"] for one in role["__forecaster_timers"]}
    assert ended["forecast"] - program.FORECAST_SECONDS >= 30
    assert min(ended["train"], ended["asked"]) - program.TRAIN_SECONDS >= 1800


def test_an_answer_that_comes_late_costs_the_others_little(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    trained(options)
    answer = site.answer

    def slow(path: str, form: dict[str, str]) -> tuple[int, bytes]:
        if form["query"] == "load":
            time.sleep(1.5)
        return answer(path, form)

    site.answer = slow  # type: ignore[method-assign]
    assert Run(options, Prometheus(options.source, seconds=4), NOW).run()
    made = records(files(options).forecasts)
    assert (made["load", "a"]["state"], made["disk", "a /"]["state"]) == ("unknown", "forecast")


def test_what_has_never_worked_is_as_old_as_its_first_attempt(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    """Not half a century, which would be told at once: on a new site, or after a boot."""
    began = time.time()
    site.fails = (503, b"no")
    for after in (0, 300):
        assert not ran(options, NOW + after)
        assert trained(options, NOW + after).answered == []
    runs, told = files(options).run_told, files(options).trainings_told
    assert sample(runs, "last_run_timestamp_seconds") == NOW
    first = succeeded(told)
    assert began <= first["load"] == first["disk"] <= time.time()
    site.fails = None
    site.series.clear()
    assert trained(options).answered == ["load", "disk"]
    assert succeeded(told) == first


def test_where_nothing_is_to_be_forecast_nothing_is_amiss(options: ForecasterOptions) -> None:
    nothing = replace(options, series={})
    for after in (0, 300):
        trained(nothing, NOW + after)
        assert ran(nothing, NOW + after)
        assert sample(files(options).run_told, "last_run_timestamp_seconds") == NOW + after
        assert succeeded(files(options).trainings_told) == {}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 1}', b"\xff" * 9])
def test_a_damaged_model_is_said_and_trained_anew(
    site: FakePrometheus, options: ForecasterOptions, damage: bytes
) -> None:
    trained(options)
    first = sorted(options.models_directory.iterdir())[0]
    first.write_bytes(damage)
    (wrong,) = check(options.models_directory)
    assert first.name in wrong
    assert main(options.models_directory) == 1
    assert ran(options)
    (broken,) = [
        one for one in records(files(options).forecasts).values() if one["state"] != "forecast"
    ]
    assert (broken["state"], broken["id"]) == ("untrained", first.stem)
    requests = Requests(files(options).requests)
    (asked,) = requests.unfinished()
    assert asked.series == (broken["series"],)
    assert train_asked(options, Prometheus(options.source), requests) == 0
    assert check(options.models_directory) == []
    assert ran(options)
    assert (
        records(files(options).forecasts)[broken["series"], broken["target"]]["state"] == "forecast"
    )


def test_what_is_new_is_trained_within_minutes(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    requests = Requests(files(options).requests)
    for _ in range(3):
        assert ran(options)
    (asked,) = requests.unfinished()
    assert asked.series == ("disk", "load")
    assert train_asked(options, Prometheus(options.source), requests) == 0
    done = requests.get(asked.id)
    assert done is not None
    assert (done.state, done.said[:17]) == ("done", "4 models trained,")
    assert train_asked(options, Prometheus(options.source), requests) == 0


def test_what_comes_back_is_told_how_good_it_is_within_minutes(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    """A host that was off at night has its models, and the results of its trainings no more."""
    trained(options)
    away = site.series.pop("used")
    trained(options)
    site.series["used"] = away
    assert ran(options)
    requests, told = Requests(files(options).requests), files(options).trainings_told
    (asked,) = requests.unfinished()
    assert asked.series == ("disk",)
    name = 'lookout_forecast_skilled{host="a",series="disk",target="a /var"}'
    assert name not in told.read_text()
    assert train_asked(options, Prometheus(options.source), requests) == 0
    assert name in told.read_text()


def test_after_a_clock_that_was_wrong_what_is_new_is_trained(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    requests = Requests(files(options).requests)
    assert ran(options, NOW + 365 * DAY)
    (ahead,) = requests.unfinished()
    requests.become([ahead], state="done")
    assert ran(options)
    (asked,) = requests.unfinished()
    assert asked.asked == NOW


def test_a_training_that_was_ended_is_not_asked_for_ever(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    requests = Requests(files(options).requests)
    one = requests.submit("robot", ("load",), NOW)
    requests.become([one], state="running")
    assert train_asked(options, Prometheus(options.source), requests) == 0
    ended = requests.get(one.id)
    assert ended is not None
    assert (ended.state, ended.said) == ("failed", "it was ended before its time")


def test_series_beyond_the_limit_of_all_are_left_out(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    few = replace(options, most_series=3)
    assert trained(few).trained == 3
    ran(few)
    told = files(options).run_told.read_text()
    assert 'lookout_forecast_series_over_limit{series="disk"} 1.0' in told
    assert 'lookout_forecast_series_over_limit{series="load"} 0.0' in told


def test_what_was_taken_out_of_the_configuration_is_gone(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    trained(options)
    less = replace(options, series={"load": options.series["load"]})
    trained(less, NOW + 40 * DAY)
    assert {name for name, _ in records(files(options).trainings)} == {"load"}
    assert len([*options.models_directory.iterdir()]) == 4, "for a month it may come back"


def test_a_clock_that_jumped_costs_no_model(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    """A timer is started at once by a clock that jumps, and nothing was measured then."""
    trained(options)
    held, known = {path.name for path in options.models_directory.iterdir()}, dict(site.series)
    ahead = time.time() + 200 * DAY
    site.series.clear()
    assert trained(options, ahead).answered == ["load", "disk"]
    assert {path.name for path in options.models_directory.iterdir()} == held
    site.series.update(known)
    assert trained(options, ahead, only=["load"]).trained == 2
    assert {path.name for path in options.models_directory.iterdir()} == held
    assert ran(options)
    assert {one["state"] for one in records(files(options).forecasts).values()} == {"forecast"}


def test_a_model_is_forgotten_when_its_series_is_gone_for_a_month(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    trained(options)
    del site.series["used"]
    trained(options)
    assert len([*options.models_directory.iterdir()]) == 4
    long_ago = time.time() - 31 * DAY
    for path in options.models_directory.iterdir():
        os.utime(path, (long_ago, long_ago))
    trained(options, time.time())
    assert len([*options.models_directory.iterdir()]) == 2


def test_the_program_does_each_of_its_verbs(
    site: FakePrometheus, options: ForecasterOptions, tmp_path: Path
) -> None:
    file = tmp_path / "forecaster.yml"
    said = {
        "source": {"url": site.url},
        "models_directory": str(options.models_directory),
        "state_directory": str(options.state_directory),
        "run_directory": str(options.run_directory),
        "series": {"load": {"query": "nothing"}},
    }
    file.write_text(json.dumps(said))
    for verb in (["train"], ["train", "--asked"], ["forecast"]):
        assert PROGRAM.run(serve, ["--config", str(file), *verb]) == 0, verb
    site.fails = (500, b"")
    assert PROGRAM.run(serve, ["--config", str(file), "train"]) == 1
    assert PROGRAM.run(serve, ["--config", str(file), "forecast"]) == 1


def test_a_model_that_cannot_be_kept_is_one_that_failed(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    outcome = trained(replace(options, models_directory=Path("/proc")))
    assert (outcome.trained, outcome.failed) == (0, 4)
    assert "No such file" in records(files(options).trainings)["load", "a"]["reason"]


@pytest.mark.parametrize("folder", ["state_directory", "run_directory"])
def test_a_disk_that_takes_nothing_leaves_what_there_was(
    site: FakePrometheus, options: ForecasterOptions, folder: str
) -> None:
    trained(options)
    ran(options)
    before = {path: path.read_bytes() for path in files_below(options)}
    full = replace(options, **{folder: Path("/proc/none")})  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No such file"):
        _ = trained(full) if folder == "state_directory" else ran(full)
    assert {path: path.read_bytes() for path in files_below(options)} == before


def test_a_disk_that_takes_a_part_makes_no_old_forecast_look_new(
    site: FakePrometheus, options: ForecasterOptions, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any) -> None:
        if path == files(options).forecasts_told:
            raise OSError(errno.ENOSPC, "No space left on device")

    trained(options)
    ran(options)
    api.clock[0] = NOW + 3600
    monkeypatch.setattr(forecast_module, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        ran(options, NOW + 3600)
    assert "lookout_forecast_value{" not in api("/metrics").text


def files_below(options: ForecasterOptions) -> list[Path]:
    """What a reader may look at: all but what is being written."""
    folders = (options.state_directory, options.run_directory)
    return [path for folder in folders for path in folder.iterdir() if path.is_file()]


def test_one_wrong_query_fails_neither_a_training_nor_a_run(
    site: FakePrometheus, options: ForecasterOptions
) -> None:
    """Its own metric tells of it; the unit would be told of every night."""
    del site.series["used"]
    answer = site.answer

    def picky(path: str, form: dict[str, str]) -> tuple[int, bytes]:
        return (400, b"no") if form["query"] == "used" else answer(path, form)

    site.answer = picky  # type: ignore[method-assign]
    requests = Requests(files(options).requests)
    one = requests.submit("robot", (), NOW)
    assert train_asked(options, Prometheus(options.source), requests) == 0
    done = requests.get(one.id)
    assert done is not None
    assert done.state == "failed"
    assert done.said.endswith("; without an answer: disk")
    assert ran(options)
    assert 'query_failed{series="disk"} 1.0' in files(options).run_told.read_text()


def test_a_training_of_a_part_makes_the_others_no_younger(
    site: FakePrometheus, options: ForecasterOptions, api: Api
) -> None:
    """Those that were not asked for, whose query has no answer, or that are configured no more."""
    told, answer = files(options).trainings_told, site.answer
    trained(options)
    first = succeeded(told)
    assert first["load"] == first["disk"]
    trained(options, only=["load"])
    second = succeeded(told)
    assert second["disk"] == first["disk"] < second["load"]

    def picky(path: str, form: dict[str, str]) -> tuple[int, bytes]:
        return (503, b"no") if form["query"] == "used" else answer(path, form)

    site.answer = picky  # type: ignore[method-assign]
    trained(options)
    third = succeeded(told)
    assert third["disk"] == first["disk"]
    assert third["load"] > second["load"]
    assert api("/api/v1/models").json["succeeded"] == first["disk"]
    trained(replace(options, series={"load": options.series["load"]}))
    assert {*succeeded(told)} == {"load"}
