"""The API: tokens, pages, limits, trainings that are asked for, and its own description."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

import pytest
import schemathesis
from forecaster_stage import NOW, Api, FakePrometheus, daily
from hypothesis import HealthCheck, given, settings

from lookout.forecaster.files import files
from lookout.forecaster.jobs.forecast import Run
from lookout.forecaster.jobs.train import Training
from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.prometheus import Prometheus
from lookout.forecaster.requests import MOST_WAITING

READ = ["series", "series/ID", "forecast/ID", "anomalies", "models", "models/ID", "train",
        "openapi.json"]  # fmt: skip


def busy(number: int, at: int) -> float:
    return number * daily(at)


@pytest.fixture
def site(prometheus: FakePrometheus, options: ForecasterOptions) -> list[str]:
    """Five hosts, trained and forecast; their ids."""
    prometheus.series["load"] = [
        ({"instance": f"host{number}"}, partial(busy, number)) for number in range(1, 6)
    ]
    source = Prometheus(options.source)
    Training(options, source, NOW).run()
    Run(options, source, NOW).run()
    return sorted(path.stem for path in options.models_directory.iterdir())


def paths(ids: list[str]) -> list[str]:
    return [f"/api/v1/{path.replace('ID', ids[0])}" for path in READ]


def test_nothing_is_answered_without_a_token(site: list[str], api: Api) -> None:
    for path in [*paths(site), "/", "/api/v1/nowhere", "/docs"]:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            answer = api(path, method, token=None)
            assert answer.status == 401, (path, method)
            assert answer.headers["www-authenticate"] == 'Bearer realm="lookout"'
            assert method == "HEAD" or answer.json["status"] == 401
    assert api("/api/v1/health", token=None).json == {"status": "ok"}


def test_a_person_who_comes_along_is_told_where_to_go(site: list[str], api: Api) -> None:
    """As from the portal's link; still nobody gets in."""
    accepted = "text/html,application/xhtml+xml,*/*;q=0.8"
    answer = api("/", token=None, accept=accepted)
    assert answer.status == 401
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["www-authenticate"] == 'Bearer realm="lookout"'
    assert "ML Insights" in answer.text
    assert "lookout-token create" in answer.text
    assert api("/", token="wrong", accept=accepted).json["detail"] == "this token is not known"


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer ", "Basic {}", "bearer x{}", "{}", "Bearer {} {}"]
)
def test_what_is_no_token_opens_nothing(site: list[str], api: Api, sent: str) -> None:
    answer = api("/api/v1/series", token=None, authorization=sent.replace("{}", api.token))
    assert answer.status == 401


def test_a_token_opens_what_its_scopes_say(site: list[str], api: Api) -> None:
    for path in paths(site):
        assert api(path, token=api.reader).status == 200, path
    answer = api("/api/v1/train", "POST", token=api.reader)
    assert answer.status == 403
    assert 'error="insufficient_scope", scope="train"' in answer.headers["www-authenticate"]


def test_a_flood_of_wrong_tokens_is_told_to_wait(site: list[str], api: Api) -> None:
    statuses = [
        api("/api/v1/series", token="wrong", x_real_ip="192.0.2.7").status for _ in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    answer = api("/api/v1/series", token="wrong", x_real_ip="192.0.2.7")
    assert int(answer.headers["retry-after"]) > 0
    assert api("/api/v1/series", token="wrong", x_real_ip="192.0.2.8").status == 401
    assert api("/api/v1/series", x_real_ip="192.0.2.7").status == 200, "a right one gets in"
    told = api("/metrics", token=None).text
    assert 'lookout_api_refused_requests_total{reason="limited"} 3.0' in told
    assert 'lookout_api_requests_total{code="429"} 3.0' in told


def test_without_any_forecast_it_says_so(api: Api) -> None:
    for path in ("series", "forecast/0123456789abcdef", "anomalies", "models"):
        answer = api(f"/api/v1/{path}")
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "60"
    assert api("/metrics", token=None).status == 200


def test_pages_lead_to_all_of_them(site: list[str], api: Api) -> None:
    for what in ("series", "models"):
        seen, path = [], f"/api/v1/{what}?limit=2&series=load"
        while path:
            page = api(path).json
            seen += [one["id"] for one in page[what]]
            following = page["next"]
            path = f"/api/v1/{what}?limit=2&series=load&after={following}" if following else ""
        assert seen == site
    assert api("/api/v1/series?series=disk").json["series"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 400), ("limit=201", 400), ("limit=x", 400), ("limit=٣", 400), ("after=x", 400),
        ("limit=1&limit=2", 400), ("page=2", 400), ("series=none", 404), ("series=A-b", 400),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(site: list[str], api: Api, query: str, status: int) -> None:
    answer = api(f"/api/v1/series?{query}")
    assert answer.status == status
    assert answer.json["status"] == status


def test_a_forecast_is_a_path(site: list[str], api: Api) -> None:
    said = api(f"/api/v1/forecast/{site[0]}").json
    path, series = said["path"], said["series"]
    assert said["stale"] is False
    assert len(path["values"]) == len(path["lower"]) == len(path["upper"]) == 288
    assert path["first"] == series["measured"]["time"] + path["step_seconds"]
    assert path["values"][-1] == series["horizons"][2]["value"]
    assert api("/api/v1/forecast/0123456789abcdef").status == 404


def test_what_is_held_is_not_sent_again(
    site: list[str], api: Api, options: ForecasterOptions
) -> None:
    for path in paths(site):
        tag = api(path).headers["etag"]
        for held in (tag, f'"other", W/{tag}', "*"):
            answer = api(path, if_none_match=held)
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
        assert api(path, if_none_match='"other"').status == 200
    tag = api("/api/v1/series").headers["etag"]
    Run(options, Prometheus(options.source), NOW + 300).run()
    assert api("/api/v1/series", if_none_match=tag).status == 200


def test_old_forecasts_are_called_stale(site: list[str], api: Api) -> None:
    assert "lookout_forecast_value{" in api("/metrics", token=None).text
    for now in (NOW + 901, NOW - 901):
        api.clock[0] = now
        assert api("/api/v1/series").json["stale"] is True
        told = api("/metrics", token=None).text
        assert "lookout_forecast_value{" not in told
        assert "lookout_forecast_mase{" in told
        assert "lookout_forecast_last_run_timestamp_seconds 1.7900001e+09" in told


@pytest.mark.parametrize("book", ["forecasts", "trainings"])
@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\xff", b'{"version":1,"index":[["a"]]}\n'])
def test_a_damaged_file_is_none(
    site: list[str], api: Api, options: ForecasterOptions, book: str, damage: bytes
) -> None:
    path = getattr(files(options), book)
    assert api("/api/v1/series").status == 200
    path.write_bytes(damage + path.read_bytes() if damage == b"\xff" else damage)
    assert api("/api/v1/series" if book == "forecasts" else "/api/v1/models").status == 503
    assert Run(options, Prometheus(options.source), NOW).run()
    Training(options, Prometheus(options.source), NOW).run()
    assert api("/api/v1/series").status == api("/api/v1/models").status == 200


def test_a_training_can_be_asked_for_and_followed(site: list[str], api: Api) -> None:
    body = json.dumps({"series": ["load"]}).encode()
    answer = api("/api/v1/train", "POST", body, content_type="application/json; charset=utf-8")
    assert answer.status == 202
    assert answer.headers["location"] == f"train/{answer.json['id']}"
    said = api(f"/api/v1/{answer.headers['location']}").json
    assert (said["state"], said["client"], said["series"]) == ("waiting", "robot", ["load"])
    assert api("/api/v1/train").json["trainings"] == [said]
    assert api("/api/v1/train/0123456789abcdef").status == 404
    assert api("/api/v1/train/..%2f..").status == 404


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "", 202),
        (b"{}", "application/json", 202),
        (b"{}", "text/plain", 415),
        (b"{", "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"series": "load"}', "application/json", 400),
        (b'{"series": [1]}', "application/json", 400),
        (b'{"series": ["none"]}', "application/json", 404),
        (b'{"all": true}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b" " * 20_000, "application/json", 413),
    ],
)
def test_a_body_is_right_or_refused(api: Api, body: bytes, kind: str, status: int) -> None:
    answer = api("/api/v1/train", "POST", body, content_type=kind)
    assert answer.status == status


def test_a_flood_of_trainings_is_refused(api: Api, options: ForecasterOptions) -> None:
    statuses = [api("/api/v1/train", "POST").status for _ in range(MOST_WAITING + 2)]
    assert statuses == [202] * MOST_WAITING + [429] * 2
    assert len([*files(options).requests.iterdir()]) == MOST_WAITING
    (files(options).requests / "0123456789abcdef.json").write_text("{")
    assert api("/api/v1/train").status == 200


def test_a_disk_that_takes_nothing_is_said(api: Api, options: ForecasterOptions) -> None:
    files(options).requests.write_text("in the way")
    answer = api("/api/v1/train", "POST")
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")


@pytest.mark.parametrize("path", ["/api/v1/series/", "/metrics/", "/api/v1/train/"])
def test_nobody_is_led_elsewhere(api: Api, path: str) -> None:
    """With a token, past the path that the gateway has for this API."""
    answer = api(path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


def test_methods_that_a_path_has_not_are_refused(site: list[str], api: Api) -> None:
    answer = api("/api/v1/series", "POST")
    assert (answer.status, {*answer.headers["allow"].split(", ")}) == (405, {"GET", "HEAD"})
    answer = api("/api/v1/train", "DELETE")
    assert (answer.status, {*answer.headers["allow"].split(", ")}) == (405, {"GET", "HEAD", "POST"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert api("/api/v1/nowhere").status == 404


@pytest.mark.usefixtures("site")
def test_the_api_keeps_what_it_promises(api: Api) -> None:
    """Schemathesis makes requests of the API's own description, good and bad, with a token."""
    asked = asked_by_schemathesis(api, {"authorization": f"Bearer {api.token}"})
    assert set(asked) <= {200, 202, 304, 400, 404, 405, 413, 415, 429}, asked
    assert sum(asked.values()) > 100


@pytest.mark.usefixtures("site")
def test_the_api_keeps_to_itself_without_a_token(api: Api) -> None:
    """The same requests without a token, or with a wrong one."""
    for headers in ({}, {"authorization": "Bearer lookout_00000000_wrong"}):
        asked = asked_by_schemathesis(api, headers)
        assert set(asked) <= {401, 429}, asked
        assert sum(asked.values()) > 100


def asked_by_schemathesis(api: Api, headers: dict[str, str]) -> dict[int, int]:
    token = {"authorization": f"Bearer {api.token}"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", api.app, headers=token)
    asked: dict[int, int] = {}
    for operation in schema.get_all_operations():

        @settings(max_examples=15, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def holds(case: Any) -> None:
            case.headers.pop("Authorization", None)
            answer = case.call(base_url="http://testserver/api/v1", headers=headers)
            asked[answer.status_code] = asked.get(answer.status_code, 0) + 1
            if headers.get("authorization") == token["authorization"]:
                case.validate_response(answer)

        holds()
    return asked


def test_editions_that_follow_each_other_leave_no_file_open(
    site: list[str], api: Api, options: ForecasterOptions
) -> None:
    book = files(options).forecasts
    api("/api/v1/series")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        book.with_suffix(".new").write_bytes(book.read_bytes())
        book.with_suffix(".new").rename(book)
        assert api("/api/v1/series").status == 200
    assert len(os.listdir("/proc/self/fd")) <= before + 1
