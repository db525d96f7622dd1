"""Receivers come from the teams of the inventory; mistakes in them are named with their fix."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
TEAMS = ["infrastructure", "data-science", "on-call"]
SMTP = {
    "alertmanager_smtp_smarthost": "mail.example.com:587",
    "alertmanager_smtp_from": "lookout@example.com",
    "alertmanager_smtp_username": "",
    "alertmanager_smtp_password": "",
}


def _load() -> ModuleType:
    path = ROOT / "plugins/filter/alertmanager.py"
    spec = importlib.util.spec_from_file_location("alertmanager", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


alertmanager = _load()


def problems(
    teams: dict[str, Any] | None = None,
    extra: list[dict[str, Any]] | None = None,
    smtp: dict[str, str] | None = None,
    urls: dict[str, str] | None = None,
    durations: dict[str, str] | None = None,
) -> list[str]:
    found: list[str] = alertmanager.alertmanager_problems(
        TEAMS,
        teams or {},
        extra or [],
        reserved=["nobody"],
        smtp={**SMTP, **(smtp or {})},
        urls=urls or {},
        durations=durations or {},
    )
    return found


def receivers(teams: dict[str, Any], extra: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    mail = {"send_resolved": True, "headers": {"Subject": "s"}}
    found = alertmanager.alertmanager_receivers(TEAMS, teams, extra or [], mail)
    return {receiver["name"]: receiver for receiver in found}


def test_every_team_has_a_receiver_also_without_anybody_behind_it() -> None:
    assert receivers({}) == {name: {"name": name} for name in TEAMS}


def test_each_address_is_a_notification_of_its_own() -> None:
    own = receivers(
        {"on-call": {"email_to": ["a@x.org", "b@x.org"], "webhook_urls": ["http://h/"]}}
    )
    assert [mail["to"] for mail in own["on-call"]["email_configs"]] == ["a@x.org", "b@x.org"]
    assert own["on-call"]["webhook_configs"] == [{"url": "http://h/", "send_resolved": True}]


def test_an_extra_receiver_of_a_teams_name_adds_to_it() -> None:
    own = receivers(
        {"on-call": {"webhook_urls": ["http://h/"]}},
        [
            {"name": "on-call", "webhook_configs": [{"url": "http://i/"}]},
            {"name": "pager", "pagerduty_configs": [{"routing_key": "k"}]},
        ],
    )
    assert [hook["url"] for hook in own["on-call"]["webhook_configs"]] == ["http://h/", "http://i/"]
    assert own["pager"] == {"name": "pager", "pagerduty_configs": [{"routing_key": "k"}]}


@given(st.sets(st.sampled_from(TEAMS)))
def test_unreached_are_the_teams_with_nobody(reached: set[str]) -> None:
    own = receivers({name: {"webhook_urls": ["http://h/"]} for name in reached})
    unreached = alertmanager.alertmanager_unreached(TEAMS, list(own.values()))
    assert unreached == [name for name in TEAMS if name not in reached]


def test_what_holds_together_has_no_problems() -> None:
    teams = {
        "infrastructure": {"email_to": ["admin@example.com"]},
        "data-science": {"webhook_urls": ["https://chat.example.com/hooks/1"]},
        "on-call": {},
    }
    assert problems(teams, durations={"x": "1h30m"}, urls={"y": "", "z": "https://a/b"}) == []


@pytest.mark.parametrize(
    ("teams", "fix"),
    [
        ({"oncall": {}}, "unknown team oncall: did you mean on-call?"),
        ({"on-call": {"mail_to": ["a@x.org"]}}, "there is no mail_to, only email_to"),
        ({"on-call": {"email_to": "a@x.org"}}, "email_to must be a list"),
        ({"on-call": {"email_to": ["a@x.org, b@x.org"]}}, "must be one address"),
        ({"on-call": {"email_to": ["nobody"]}}, "must be one address"),
        ({"on-call": {"webhook_urls": ["chat/secret"]}}, "number 1 of webhook_urls must begin"),
        ({"on-call": ["a@x.org"]}, "must be a mapping"),
    ],
)
def test_a_team_that_cannot_be_told_is_refused(teams: dict[str, Any], fix: str) -> None:
    (problem,) = problems(teams)
    assert problem.startswith("alertmanager_teams: ")
    assert fix in problem
    assert "secret" not in problem


@pytest.mark.parametrize(
    ("smtp", "fix"),
    [
        ({"alertmanager_smtp_smarthost": ""}, "alertmanager_smtp_smarthost is empty"),
        ({"alertmanager_smtp_smarthost": "mail.example.com"}, "must be host:port"),
        ({"alertmanager_smtp_from": ""}, "alertmanager_smtp_from is empty"),
        ({"alertmanager_smtp_password": "secret"}, "belong together"),
        ({"alertmanager_smtp_username": "me"}, "belong together"),
    ],
)
def test_mail_that_cannot_be_sent_is_refused(smtp: dict[str, str], fix: str) -> None:
    (problem,) = problems({"on-call": {"email_to": ["a@x.org"]}}, smtp=smtp)
    assert fix in problem
    assert "secret" not in problem


@pytest.mark.parametrize("value", ["30", "30 s", "half an hour", "", "-5m", "1.5h"])
def test_a_duration_that_is_none_is_refused(value: str) -> None:
    (problem,) = problems(durations={"alertmanager_group_wait": value})
    assert problem.startswith("alertmanager_group_wait must be")


def test_a_url_without_scheme_is_refused_and_not_shown() -> None:
    (problem,) = problems(urls={"alertmanager_deadmans_switch_url": "hc-ping.com/secret"})
    assert problem.startswith("alertmanager_deadmans_switch_url must begin with http://")
    assert "secret" not in problem


@pytest.mark.parametrize("extra", [{"name": "nobody"}, {"webhook_configs": []}])
def test_an_extra_receiver_needs_a_name_of_its_own(extra: dict[str, Any]) -> None:
    (problem,) = problems(extra=[extra])
    assert problem.startswith("alertmanager_extra_receivers: ")


def test_who_waits_for_the_watchdog_gets_it() -> None:
    tls = {"ca_file": "/ca.pem"}
    inside = {"content": base64.b64encode(b"url: https://mon1:9702/heartbeat/x\n").decode()}
    left_out = {"skipped": True}
    assert alertmanager.alertmanager_switches([left_out], "", tls) == []
    assert alertmanager.alertmanager_switches([inside, left_out], "https://out/ping", tls) == [
        {"url": "https://out/ping", "send_resolved": False},
        {
            "url": "https://mon1:9702/heartbeat/x",
            "send_resolved": False,
            "http_config": {"tls_config": tls},
        },
    ]
