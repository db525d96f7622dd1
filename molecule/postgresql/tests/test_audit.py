"""The audit's part of PostgreSQL: quiet on what was built, and it names what was added by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from database import Database
from play import converge

CONVERGE = Path(__file__).parents[1] / "converge.yml"
ROGUES = (
    "create role rogue superuser login password 'canary-rogue-4711' valid until '2020-01-01'",
    "alter role viewer createdb",
    "grant connect on database private to viewer",
    "create database left_behind",
    "alter database spots owner to keeper",
)
PUT_BACK = (
    "drop role rogue",
    "alter role viewer nocreatedb",
    "revoke connect on database private from viewer",
    "drop database left_behind",
    "alter database spots owner to spots",
)


def audit(database: Database) -> dict[str, dict[str, Any]]:
    """The rows of this host by kind and name."""
    (play,) = yaml.safe_load(CONVERGE.read_text("utf-8"))
    done = converge(database.name, playbook="audit.yml", **play["vars"])
    assert done.returncode == 0, done.stdout[-3000:]
    assert "changed=0" in done.stdout
    assert not re.search("canary|SCRAM-", done.stdout)
    shown = re.search(r"(?ms)^ok: \[\w+\] => *\n( +msg:.*?)^$", done.stdout)
    assert shown, done.stdout[-3000:]
    rows = yaml.safe_load(shown[1])["msg"]["rows"]
    assert {row["host"] for row in rows} == {database.name}
    return {f"{row['kind']} {row['name']}": row for row in rows}


def flagged(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["finding"] for name, row in rows.items() if row["finding"]}


def test_what_was_built_is_shown_and_not_flagged(database: Database) -> None:
    rows = audit(database)
    assert flagged(rows) == {}
    assert json.dumps(rows).count("NOT") == 0
    assert rows["role spots"]["may"] == "signs in with a password; connects to postgres, spots"
    assert rows["role postgres"]["may"].startswith("signs in, superuser")
    assert rows["role grafana_reader"]["declared"] is True
    assert {"pg_hba hostssl scram-sha-256", "pg_hba local peer", "database private"} <= set(rows)


@pytest.fixture
def rogues(database: Database) -> Iterator[None]:
    """What somebody did by hand, for the time of a test."""
    hba = f"{database.config}/pg_hba.conf"
    database.host.check_output(f"cp -p {hba} /root/pg_hba.conf")
    for sql in ROGUES:
        database.ask(sql)
    lines = r"local all all trust\nhost all all 0.0.0.0/0 scram-sha-256\n"
    database.host.check_output(f"printf '{lines}' >>{hba}")
    yield
    database.host.check_output(f"cp -p /root/pg_hba.conf {hba}; rm /root/pg_hba.conf")
    for sql in PUT_BACK:
        database.ask(sql)


@pytest.mark.usefixtures("rogues")
def test_what_was_added_by_hand_is_named(database: Database) -> None:
    wrong = flagged(audit(database))
    assert set(wrong) == {
        "role rogue",
        "role viewer",
        "role keeper",
        "database left_behind",
        "database spots",
        "pg_hba local trust",
        "pg_hba host scram-sha-256",
    }
    assert "postgresql_roles does not name rogue" in wrong["role rogue"]
    assert "It ended on 2020-01-01" in wrong["role rogue"]
    assert "createdb, connects to private" in wrong["role viewer"]
    assert "Every role may connect" in wrong["database left_behind"]
    assert "by the inventory to spots" in wrong["database spots"]
    # Who owns it may connect.
    assert "connects to spots" in wrong["role keeper"]
