"""What of a snapshot fits a host, and what of that is wished."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.backup.parts import Part, Piece, Postgresql, Prometheus, Sqlite
from lookout.backup.restic import Snapshot
from lookout.backup.restore import plan
from lookout.backup.restore.choice import ChoiceError
from lookout.backup.restore.context import sources_of
from lookout.backup.restore.journal import Entry
from lookout.backup.sources.postgresql import PostgresqlSource
from lookout.backup.sources.postgresql_server import Server

OLD = Postgresql(Path("/usr/lib/postgresql/15/bin"), Path("/run/postgresql"))
NEW = Postgresql(Path("/usr/lib/postgresql/17/bin"), Path("/run/postgresql"), 5433)
SAMPLES = Prometheus("https://127.0.0.1:9090", Path("/var/lib/prometheus"), "prometheus")
SHOP = Sqlite(Path("/var/lib/shop/shop.db"), "shop")


def part(**keys: object) -> Part:
    return Part("shop", **keys)  # type: ignore[arg-type]


def paths(*names: str) -> tuple[Path, ...]:
    return tuple(map(Path, names))


def item(one: Part, size: int = 1000) -> plan.Item:
    return plan.Item(one, one, Snapshot("1234567890", 0, "app1", ()), size)


def test_how_it_is_put_is_this_hosts_to_say() -> None:
    local = part(postgresql=NEW, units=("shop.service",), check=("true",))
    saved = part(postgresql=OLD, units=("other.service",), check=("rm", "-rf", "/"))
    found, notes = plan.fitting(local, saved)
    assert found == local
    assert notes == ()
    assert plan.judged(local, saved).postgresql == NEW


def test_a_folder_and_what_is_below_it_meet() -> None:
    wide, narrow = part(paths=paths("/etc/shop")), part(paths=paths("/etc/shop/keys"))
    assert plan.fitting(wide, narrow)[0].paths == paths("/etc/shop/keys")
    assert plan.fitting(narrow, wide)[0].paths == paths("/etc/shop/keys")


def test_what_only_one_of_them_has_is_left_and_said() -> None:
    local = part(paths=paths("/etc/shop", "/srv/new"), prometheus=SAMPLES)
    saved = part(paths=paths("/etc/shop", "/srv/old"), sqlite=(SHOP,))
    found, notes = plan.fitting(local, saved)
    assert found == part(paths=paths("/etc/shop"))
    assert sorted(notes) == [
        "/srv/new is not in the snapshot: it stays as it is",
        "/srv/old is in the snapshot, and no role of this host knows it: left out",
        "/var/lib/shop/shop.db is in the snapshot, and no role of this host knows it: left out",
        "prometheus is not in the snapshot: it stays as it is",
    ]


def test_what_either_leaves_out_is_left_alone() -> None:
    local, saved = part(paths=paths("/a"), exclude=("*.tmp",)), part(paths=paths("/a"))
    assert plan.fitting(local, saved)[0].exclude == ("*.tmp",)
    assert plan.fitting(saved, local)[0].exclude == ("*.tmp",)


def test_one_file_or_one_database_alone() -> None:
    whole = part(paths=paths("/etc/shop"), sqlite=(SHOP,), postgresql=NEW, prometheus=SAMPLES)
    file = Path("/etc/shop/shop.yml")
    assert plan.narrowed(whole, file, "") == part(paths=(file,))
    assert plan.narrowed(whole, None, "shop.db") == part(sqlite=(SHOP,))
    assert plan.narrowed(whole, None, "orders") == part(postgresql=NEW)
    with pytest.raises(ChoiceError, match="not below its paths"):
        plan.narrowed(whole, Path("/etc/shopping"), "")
    with pytest.raises(ChoiceError, match=r"has no database orders; of SQLite: shop\.db"):
        plan.narrowed(part(sqlite=(SHOP,)), None, "orders")


def test_one_database_of_a_server_reaches_its_source() -> None:
    entry = Entry(part(postgresql=NEW), "1234", 0.0, database="orders")
    (source,) = sources_of(entry)
    assert isinstance(source, PostgresqlSource)
    assert source.databases == ("orders",)


def test_the_server_of_databases_comes_first() -> None:
    items = [item(part(paths=paths("/a"))), item(part(postgresql=NEW))]
    assert [one.part.postgresql for one in plan.order(items)] == [NEW, None]


def test_what_is_replaced_can_be_read() -> None:
    whole = part(paths=paths("/etc/shop"), sqlite=(SHOP,), postgresql=NEW, prometheus=SAMPLES)
    assert list(plan.replaced(item(whole))) == [
        "/etc/shop",
        "/var/lib/shop/shop.db (SQLite)",
        "databases of PostgreSQL at port 5433",
        "/var/lib/prometheus (samples of Prometheus)",
    ]


def test_a_full_disk_is_told_by_what_is_needed(tmp_path: Path) -> None:
    live = tmp_path / "live"
    assert list(plan.room([item(part(paths=(live,)))], tmp_path)) == []
    (said,) = plan.room([item(part(paths=(live,)), 1 << 50)], tmp_path)
    assert "GiB free, and 3145728.1 GiB are needed" in said


def test_a_server_of_databases_needs_room_where_its_data_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(plan, "_device", lambda path: 2 if path == data else 1)
    monkeypatch.setattr(plan, "_free", lambda _path: 1 << 30)
    items = [item(part(postgresql=NEW))]
    assert list(plan.room(items, tmp_path, [(data, 900 << 20)])) == []
    assert list(plan.room(items, tmp_path, [(data, 1000 << 20)])) == [
        f"the filesystem of {data} has 1.0 GiB free, and 1.0 GiB are needed"
    ]


def test_how_much_room_a_server_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = '{"data": "/srv/pg", "log_bytes": 1000}'
    monkeypatch.setattr(Server, "execute", lambda *_: [asked])
    databases = {"shop": {"bytes": 700}, "big": {"bytes": 5000}}
    facts = {"bytes": 9000, "databases": databases}
    # What is loaded goes through the log of changes, up to its size.
    assert PostgresqlSource(NEW).room(facts) == (Path("/srv/pg"), 10000)
    assert PostgresqlSource(NEW, databases=("shop",)).room(facts) == (Path("/srv/pg"), 1400)
    # Nobody noted the size of each, in a copy of an older version.
    old = {"bytes": 9000, "databases": {"shop": {}}}
    assert PostgresqlSource(NEW, databases=("shop",)).room(old) == (Path("/srv/pg"), 10000)


def test_of_a_part_of_pieces_those_are_left_that_the_paths_are_of() -> None:
    web, prober = Path("/etc/web"), Path("/etc/default/prober")
    whole = part(
        paths=(web, prober),
        units=("web.service", "prober.service"),
        pieces=(
            Piece("web", (web,), ("web.service",), ("web", "-t")),
            Piece("prober", (prober,), ("prober.service",)),
        ),
    )
    assert whole.checks == [("web", "-t")]
    one = plan.narrowed(whole, web / "users", "")
    assert (one.paths, one.units, one.checks) == (
        (web / "users",),
        ("web.service",),
        [("web", "-t")],
    )
    found, notes = plan.fitting(whole, part(paths=(prober,)))
    assert (found.paths, found.units, found.checks) == ((prober,), ("prober.service",), [])
    assert notes == (f"{web} is not in the snapshot: it stays as it is",)
