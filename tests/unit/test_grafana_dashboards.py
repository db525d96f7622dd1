"""Grafana's folders and dashboards: each mistake is found and named, with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugins.filter import grafana_dashboards as g

FOLDERS = {"infrastructure": {"title": "Infrastructure"}, "on-call": {"title": "On-call"}}


def dashboard(**change: Any) -> str:
    good = {"uid": "hosts", "title": "Hosts", "tags": ["lookout", "infrastructure"], "panels": []}
    return json.dumps({**good, **change})


def test_a_dashboard_goes_into_the_folder_of_its_tag() -> None:
    files = {"hosts.json": dashboard()}
    assert g.grafana_dashboard_problems(files, FOLDERS) == []
    placed = g.grafana_dashboard_files(files, FOLDERS)
    assert placed == {"dashboards/infrastructure/hosts.json": dashboard()}


def test_json_that_cannot_be_read_is_named_with_its_line() -> None:
    [problem] = g.grafana_dashboard_problems({"bad.json": '{\n"uid": "a",\n}'}, FOLDERS)
    assert problem.startswith("Dashboard bad.json, line 3, column 1: ")
    assert g.grafana_dashboard_files({"bad.json": "{"}, FOLDERS) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is no dashboard"),
        (dashboard(panels=None), "is no dashboard"),
        (dashboard(uid="a/b"), "uid must be"),
        (dashboard(uid="x" * 41), "uid must be"),
        (dashboard(title=" "), "has no title"),
        (dashboard(tags=["lookout"]), "needs one tag that is a folder"),
        (dashboard(tags=["on-call", "infrastructure"]), "needs one tag that is a folder"),
        (dashboard(__inputs=[]), "was exported for sharing"),
    ],
)
def test_what_grafana_would_leave_out_is_refused(text: str, said: str) -> None:
    [problem] = g.grafana_dashboard_problems({"one.json": text}, FOLDERS)
    assert "one.json" in problem
    assert said in problem


def test_a_file_needs_a_plain_name() -> None:
    assert g.grafana_dashboard_problems({"../one.json": dashboard()}, FOLDERS)


@pytest.mark.parametrize(
    ("second", "count"),
    [
        ({"title": "Other"}, 1),  # the same uid
        ({"uid": "other"}, 1),  # the same title in one folder
        ({"uid": "other", "tags": ["on-call"]}, 0),  # in another
    ],
)
def test_two_of_one_uid_or_of_one_title_in_a_folder_are_refused(
    second: dict[str, Any], count: int
) -> None:
    files = {"a.json": dashboard(), "b.json": dashboard(**second)}
    found = g.grafana_dashboard_problems(files, FOLDERS)
    assert len(found) == count
    assert all("a.json and b.json" in problem for problem in found)


def test_a_folder_with_dashboards_has_a_provider_and_no_other() -> None:
    made = g.grafana_providers(
        ["dashboards/on-call/a.json", "dashboards/on-call/b.json"], FOLDERS, "/t"
    )
    [provider] = made["providers"]
    assert provider["folder"] == "On-call"
    assert provider["folderUid"] == "lookout-on-call"
    assert provider["options"] == {"path": "/t/on-call"}
    assert provider["allowUiUpdates"] is False


# --- folders ---


def test_folders_that_hold_together() -> None:
    folders = {**FOLDERS, "secret": {"title": "S", "view": [], "edit": ["Editor"]}}
    assert g.grafana_folder_problems(folders, "grafana_folders") == []


@pytest.mark.parametrize(
    "folder",
    [
        {"Upper": {"title": "A"}},
        {"a": {}},
        {"a": "A"},
        {"a": {"title": "A", "teams": []}},
        {"a": {"title": "A", "view": ["Admin"]}},
        {"a": {"title": "A"}, "b": {"title": "A"}},
    ],
)
def test_other_folders_are_refused(folder: dict[str, Any]) -> None:
    [problem] = g.grafana_folder_problems(folder, "grafana_folders")
    assert problem.startswith("grafana_folders: ")


@pytest.mark.parametrize(
    ("folder", "may"),
    [
        ({}, {"Viewer": 1, "Editor": 2}),
        ({"view": ["Viewer", "Editor"], "edit": []}, {"Viewer": 1, "Editor": 1}),
        ({"view": [], "edit": ["Editor"]}, {"Editor": 2}),
    ],
)
def test_roles_have_grafanas_numbers(folder: dict[str, Any], may: dict[str, int]) -> None:
    assert g.grafana_permissions(folder) == may


@pytest.mark.parametrize(
    ("items", "wrong"),
    [
        ([{"role": "Viewer", "permission": 1}, {"role": "Editor", "permission": 2}], False),
        (
            [
                {"role": "Admin", "permission": 4},
                {"role": "Viewer", "permission": 1},
                {"role": "Editor", "permission": 2},
            ],
            False,
        ),
        ([{"role": "Viewer", "permission": 2}, {"role": "Editor", "permission": 2}], True),
        ([{"role": "Editor", "permission": 2}], True),
        (
            [
                {"role": "Viewer", "permission": 1},
                {"role": "Editor", "permission": 2},
                {"userLogin": "mallory", "permission": 4},
            ],
            True,
        ),
    ],
)
def test_permissions_that_differ_are_found(items: list[dict[str, Any]], wrong: bool) -> None:
    answers = [{"item": "on-call", "json": items}]
    assert g.grafana_permissions_wrong(answers, FOLDERS) == (["on-call"] if wrong else [])


def test_a_question_that_was_skipped_says_nothing() -> None:
    assert g.grafana_permissions_wrong([{"item": "on-call", "skipped": True}], FOLDERS) == []
