"""A file that a role brings is found by whoever collects its kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError

from plugins.lookup.role_files import LookupModule


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    for name, content in {
        "web/files/alerts/web.yml": "web\n",
        "db/files/alerts/db.yml": "db \N{SNOWMAN}",
        "db/files/alerts/notes.txt": "no rules",
        "db/files/alerts/tests/db_test.yml": "deeper",
        "db/files/scrape/db.yml": "job_name: db",
        "prometheus/tasks/main.yml": "---",
    }.items():
        file = tmp_path / "roles" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path / "roles"


def collect(roles: Path, *patterns: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = LookupModule().run(
        list(patterns), {"role_path": str(roles / "prometheus")}
    )
    return found


def test_contents_by_name_of_all_roles(roles: Path) -> None:
    (found,) = collect(roles, "alerts/*.yml")
    assert found == {"db.yml": "db \N{SNOWMAN}", "web.yml": "web\n"}


def test_order_does_not_depend_on_the_file_system(roles: Path) -> None:
    assert list(collect(roles, "alerts/*.yml")[0]) == ["db.yml", "web.yml"]


def test_one_mapping_a_pattern(roles: Path) -> None:
    """The same name is two files where it belongs to two kinds."""
    assert [list(found) for found in collect(roles, "alerts/*.yml", "scrape/*.yml", "x/*")] == [
        ["db.yml", "web.yml"],
        ["db.yml"],
        [],
    ]


def test_same_name_in_two_roles_is_an_error_that_names_both(roles: Path) -> None:
    (roles / "web/files/alerts/db.yml").write_text("mine")
    with pytest.raises(AnsibleLookupError) as error:
        collect(roles, "alerts/*.yml")
    assert str(roles / "web/files/alerts/db.yml") in str(error.value)
    assert str(roles / "db/files/alerts/db.yml") in str(error.value)
