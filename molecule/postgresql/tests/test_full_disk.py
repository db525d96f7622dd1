"""A disk that fills up under load: what was acknowledged is there once there is room again."""

from __future__ import annotations

from pathlib import Path

from database import Database
from hosts import put, wait_for

HERE = Path(__file__).parent
# Room for the log's files as they are, some more, and what fills it up
MOUNT = "mount -t tmpfs -o uid=postgres,mode=700,size=160M none"


def test_a_full_disk_stops_it_and_room_brings_it_back(database: Database) -> None:
    host = database.host
    data = database.ask("show data_directory")
    unit = database.unit
    database.ask("drop table if exists said; create table said (id bigint)", "spots")
    put(host, HERE / "writer.py")
    database.ask("checkpoint")
    host.check_output(f"systemctl stop {unit}")
    host.check_output(
        f"mv {data}/pg_wal {data}/former && install -d -o postgres -m 700 {data}/pg_wal"
        f" && {MOUNT} {data}/pg_wal && cp -a {data}/former/. {data}/pg_wal/"
    )
    host.check_output(f"systemctl start {unit}")
    try:
        load = "python3 /root/writer.py 7 >/root/full"
        host.check_output("systemd-run --quiet --unit full -- sh -c %s", load)
        assert wait_for(lambda: host.run("test $(wc -l </root/full) -gt 50").rc == 0)
        host.run(f"dd if=/dev/zero of={data}/pg_wal/filler bs=1M status=none")
        database.run("select pg_switch_wal() from generate_series(1, 3)")
        # The server ends, and the writer with it.
        assert wait_for(lambda: host.run("systemctl is-active full").rc != 0, 60)
        assert wait_for(lambda: database.run("select 1").rc != 0)
        host.check_output(f"rm {data}/pg_wal/filler")
        assert wait_for(lambda: database.run("select 1").rc == 0, 60)
        said = set(host.check_output("cat /root/full").split())
        assert said - set(database.ask("select id from said", "spots").split()) == set()
        database.ask("insert into said values (-1)", "spots")
    finally:
        host.run(f"rm -f {data}/pg_wal/filler; systemctl stop full")
        host.check_output(f"systemctl stop {unit}")
        host.check_output(
            f"rm -r {data}/former && cp -a {data}/pg_wal {data}/former && umount {data}/pg_wal"
            f" && rmdir {data}/pg_wal && mv {data}/former {data}/pg_wal && systemctl start {unit}"
        )
    database.ask("drop table said", "spots")
