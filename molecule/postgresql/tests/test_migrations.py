"""Migrations: in order, once, in a transaction; what does not fit is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from database import Database
from play import changed_tasks, converge

FILES = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "migrations"
TASK = "postgresql : Ensure the schemas are up to date"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FILES, tmp_path / "migrations")
    return tmp_path / "migrations"


def run(database: Database, folder: Path, check_mode: bool = False) -> tuple[int, str, list[str]]:
    spots = {
        "name": "spots",
        "owner": "spots",
        "extensions": ["pg_trgm"],
        "migrations": str(folder),
        "grafana_reader": True,
    }
    done = converge(
        database.name,
        check_mode=check_mode,
        postgresql_databases=[spots, {"name": "private", "owner": "keeper"}],
    )
    return done.returncode, " ".join(done.stdout.split()), changed_tasks(done)


def recorded(database: Database) -> list[str]:
    shown = database.ask(
        "select name from lookout.migrations where source = 'site' order by 1", "spots"
    )
    return shown.splitlines()


def test_they_were_applied_in_order_as_the_owner(database: Database) -> None:
    assert recorded(database)[:2] == ["0001_spots.sql", "0002_archive.sql"]
    owners = "select distinct tableowner from pg_tables where tablename in ('spots', 'later')"
    assert database.ask(owners, "spots") == "spots"
    assert database.ask("select count(*) from spots", "spots") == "1", "applied once"


def test_a_failed_one_leaves_the_database_as_it_was(database: Database, folder: Path) -> None:
    before = recorded(database)
    (folder / "0003_two.sql").write_text("create table two (a int);\nselect 1/0;\n")
    code, said, changed = run(database, folder)
    assert code != 0
    assert "0003_two.sql failed, and the database is as it was before it: division by zero" in said
    assert changed == []
    assert recorded(database) == before
    assert database.ask("select to_regclass('two') is null", "spots") == "t"


def test_a_changed_old_file_is_refused_and_nothing_is_applied(
    database: Database, folder: Path
) -> None:
    before = recorded(database)
    with (folder / "0001_spots.sql").open("a") as file:
        file.write("-- a word more\n")
    (folder / "0003_two.sql").write_text("create table two (a int);\n")
    code, said, _ = run(database, folder)
    assert code != 0
    assert "0001_spots.sql was applied, and has changed since" in said
    assert recorded(database) == before


def test_one_that_ends_its_transaction_is_refused(database: Database, folder: Path) -> None:
    (folder / "0003_two.sql").write_text("create table two (a int); commit; select 1;\n")
    code, said, _ = run(database, folder)
    assert code != 0
    assert "0003_two.sql: commit: a file is one transaction already" in said
    assert database.ask("select to_regclass('two') is null", "spots") == "t"


def test_a_new_one_is_foreseen_and_then_applied(database: Database, folder: Path) -> None:
    (folder / "0003_three.sql").write_text("create table three (a int);\n")
    code, said, changed = run(database, folder, check_mode=True)
    assert code == 0, said
    assert changed == [TASK]
    assert "0003_three.sql" not in recorded(database)
    code, said, changed = run(database, folder)
    assert code == 0, said
    assert changed == [TASK]
    assert "0003_three.sql" in recorded(database)
    assert run(database, folder)[2] == []
    # Without the file the record does not fit: it goes as it came, for the tests after this one,
    # which see each change of a run.
    code, said, _ = run(database, FILES)
    assert code != 0
    assert "0003_three.sql was applied, and its file is gone" in said
    database.ask(
        "drop table three; delete from lookout.migrations where name = '0003_three.sql'", "spots"
    )
