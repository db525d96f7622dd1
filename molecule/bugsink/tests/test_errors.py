"""An error arrives in the project of its program; what Bugsink may do, keeps, and survives."""

from __future__ import annotations

import re
import time
from pathlib import Path
from subprocess import CompletedProcess

from canaries import assert_nobody_sees
from errors import CONFIG, DIRECT, UNIT, WORKER, Bugsink, secret
from hosts import CURL, wait_for
from parts import Registered
from play import changed_tasks
from units import assert_hardened, assert_survives_a_kill, main_pid

# Where something of it might lie, open to everybody
PLACES = "/etc /var /run /tmp /root /opt/lookout"
# The way out, which only somebody has who is in
SIGNED_IN = "/accounts/logout/"
STACK = ("watchdog", "health", "status", "forecaster", "sensor")


def test_an_exception_arrives_in_the_project_of_its_program_alone(bugsink: Bugsink) -> None:
    before = {name: bugsink.taken(name) for name in STACK}
    bugsink.tell(bugsink.dsn("watchdog"), "the browser hangs")
    assert bugsink.takes("watchdog", before["watchdog"] + 1)
    assert {name: bugsink.taken(name) for name in STACK[1:]} == {
        name: before[name] for name in STACK[1:]
    }


def test_an_exception_in_an_agent_arrives_in_its_project(bugsink: Bugsink) -> None:
    """By the agents' own kit, from the exception to the child that sends it."""
    before = {name: bugsink.taken(name) for name in STACK}
    bugsink.fail(bugsink.dsn("health"))
    assert bugsink.takes("health", before["health"] + 1)
    assert bugsink.taken("watchdog") == before["watchdog"]
    assert SIGNED_IN in bugsink.sign_in()
    number = bugsink.dsn("health").rpartition("/")[2]
    listed = bugsink.page(f"/issues/{number}/")
    assert "ZeroDivisionError" in listed
    assert "health.yml of app1" in listed


def test_the_admin_signs_in_through_the_gateway_and_sees_it(bugsink: Bugsink) -> None:
    assert SIGNED_IN in bugsink.sign_in()
    number = bugsink.dsn("watchdog").rpartition("/")[2]
    listed = bugsink.page(f"/issues/{number}/")
    assert "ProbeError" in listed
    assert "the browser hangs 0" in listed
    other = bugsink.dsn("health").rpartition("/")[2]
    assert "ProbeError" not in bugsink.page(f"/issues/{other}/")
    # It comes with what it looks like.
    style = re.search(r'href="(/bugsink/static/[^"]+\.css)"', listed)
    assert style
    assert len(bugsink.page(style[1].removeprefix("/bugsink"))) > 1000


def test_a_wrong_password_and_nobody_see_nothing(bugsink: Bugsink) -> None:
    bugsink.host.check_output("install -m 600 /dev/null /root/wrong && echo no > /root/wrong")
    assert SIGNED_IN not in bugsink.sign_in("/root/wrong")
    bugsink.host.check_output("rm -f /root/jar; touch /root/jar")
    assert "csrfmiddlewaretoken" in bugsink.page("/"), "the form"


def test_a_wrong_key_is_refused(bugsink: Bugsink) -> None:
    good = bugsink.dsn("watchdog")
    before = bugsink.taken("watchdog")
    assert bugsink.post(good) == 200
    assert bugsink.post(good.replace(good[8:40], "0" * 32)) in (401, 403)
    of_another = bugsink.dsn("health")[8:40]
    assert bugsink.post(good.replace(good[8:40], of_another)) in (401, 403)
    bugsink.tell(good.replace(good[8:40], "0" * 32), "forged")
    time.sleep(2)
    assert bugsink.taken("watchdog") == before


def test_metrics_are_for_prometheus(bugsink: Bugsink) -> None:
    outside = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/lookout/tls/ca.pem"
    assert bugsink.host.check_output(f"{outside} {bugsink.url}/metrics") == "403"
    assert bugsink.host.run(f"{CURL} {DIRECT}/metrics").rc == 0
    without = f"curl -s --cacert /etc/lookout/tls/ca.pem {DIRECT}/metrics"
    assert bugsink.host.run(without).rc != 0


def test_it_may_do_no_more_than_it_needs(bugsink: Bugsink) -> None:
    for unit in (UNIT, WORKER):
        assert_hardened(bugsink.host, unit, 2.5, user="bugsink")


def test_it_fits_into_a_small_host(bugsink: Bugsink) -> None:
    """In megabytes, all processes of both units."""
    pids = bugsink.host.check_output("pgrep -u bugsink").split()
    files = " ".join(f"/proc/{pid}/smaps_rollup" for pid in pids)
    shown = bugsink.host.check_output(f"grep -h ^Pss: {files}")
    assert sum(int(line.split()[1]) for line in shown.splitlines()) / 1024 < 300


def test_it_is_back_after_a_kill_and_loses_nothing(bugsink: Bugsink) -> None:
    before = bugsink.taken("watchdog")
    assert_survives_a_kill(bugsink.host, UNIT, f"{DIRECT}/health/ready", seconds=60)
    bugsink.host.check_output(f"kill -9 {main_pid(bugsink.host, WORKER)}")
    bugsink.tell(bugsink.dsn("watchdog"), "after the kill")
    assert bugsink.takes("watchdog", before + 1)


def test_events_wait_for_the_worker(bugsink: Bugsink) -> None:
    before = bugsink.taken("watchdog")
    bugsink.host.check_output(f"systemctl stop {WORKER}")
    bugsink.tell(bugsink.dsn("watchdog"), "nobody digests")
    assert wait_for(lambda: bugsink.metric("bugsink_queue_oldest_seconds") > 0)
    assert bugsink.metric("bugsink_queue_tasks") >= 1
    bugsink.host.check_output(f"systemctl start {WORKER}")
    assert bugsink.takes("watchdog", before + 1)
    assert wait_for(lambda: bugsink.metric("bugsink_queue_tasks") == 0)
    assert bugsink.metric("bugsink_queue_oldest_seconds") == 0


def test_no_secret_is_seen_by_others(bugsink: Bugsink, tmp_path: Path) -> None:
    names = ["bugsink_admin", "bugsink_secret_key", "bugsink_projects"]
    names += ["postgresql_bugsink"] if bugsink.name == "bookworm" else []
    words = [*map(secret, names), bugsink.dsn("health")[8:40]]
    assert_nobody_sees(bugsink.host, words, CONFIG, PLACES, tmp_path)


def test_where_it_keeps_them(bugsink: Bugsink) -> None:
    on_disk = bugsink.host.file("/var/lib/bugsink/db.sqlite3").exists
    assert on_disk == (bugsink.name == "trixie")
    if bugsink.name == "bookworm":
        sql = "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()"
        asked = "from django.db import connection; cursor = connection.cursor();"
        asked += f"cursor.execute('{sql}'); print(cursor.fetchone())"
        assert bugsink.django(asked) == "('bugsink', True)"


def test_what_is_saved_can_be_restored_and_damage_is_found(bugsink: Bugsink) -> None:
    part = Registered(bugsink.host, "bugsink")
    facts = part.assert_a_copy_is_good()
    part.assert_damage_is_found(f"rm -r files{CONFIG}.trees/*/secrets", "missing")
    if bugsink.name == "bookworm":
        assert "sqlite" not in facts, "PostgreSQL's own part has the rest"
    else:
        tables = facts["sqlite"]["db.sqlite3"]["tables"]
        assert tables["auth_user"]["rows"] >= 1
        assert tables["events_event"]["rows"] > 1
        part.assert_damage_is_found("truncate -s 100K sqlite/db.sqlite3", "is damaged")
    part.forget()


def test_what_was_destroyed_comes_back_by_backup_and_restore(bugsink: Bugsink) -> None:
    host = bugsink.host
    bugsink.tell(bugsink.dsn("health"), "before the backup", 3)
    assert wait_for(lambda: bugsink.metric("bugsink_queue_tasks") == 0)

    def seen() -> tuple[str, ...]:
        rows = "from events.models import Event; print(sorted(Event.objects.values_list('id')))"
        users = (
            "from users.models import User; print(User.objects.values_list('username', 'password'))"
        )
        files = f"cd / && find {CONFIG} {CONFIG}.trees -printf '%p %M %u %g %l %T@\\n' | sort"
        return (*map(bugsink.django, (rows, users)), host.check_output("sh -c %s", files))

    before, taken = seen(), bugsink.taken("health")
    # The first one, which the deployment began, may still run.
    ended = "systemctl is-active lookout-backup.service | grep -q activating"
    assert wait_for(lambda: host.run(ended).rc, 120)
    host.check_output("systemctl start lookout-backup.service")
    bugsink.tell(bugsink.dsn("health"), "after the backup")
    host.check_output(f"systemctl stop {UNIT} {WORKER}")
    if bugsink.name == "bookworm":
        drop = "DROP DATABASE bugsink WITH (FORCE)"
        host.check_output("sh -c %s", f"cd / && runuser -u postgres -- psql -qc '{drop}'")
    else:
        host.check_output("sh -c 'rm /var/lib/bugsink/db.sqlite3*'")
    host.check_output(f"rm -r {CONFIG} {CONFIG}.trees")

    done = host.run("lookout-restore latest --yes")
    assert done.rc == 0, done.stdout + done.stderr
    assert "bugsink is restored" in done.stdout
    assert seen() == before
    assert bugsink.taken("health") == taken
    assert SIGNED_IN in bugsink.sign_in()
    bugsink.tell(bugsink.dsn("health"), "after the restore")
    assert bugsink.takes("health", taken + 1)
    host.check_output("lookout-restore --forget-aside")


def test_old_events_are_deleted(bugsink: Bugsink) -> None:
    before = bugsink.taken("sensor")
    bugsink.tell(bugsink.dsn("sensor"), "long ago", 2)
    assert bugsink.takes("sensor", before + 2)
    assert bugsink.metric("bugsink_project_stored_events", "sensor") == 2
    number = bugsink.dsn("sensor").rpartition("/")[2]
    bugsink.django(
        "from datetime import timedelta; from django.utils import timezone;"
        "from events.models import Event;"
        f"Event.objects.filter(project_id={number})"
        ".update(digested_at=timezone.now() - timedelta(days=91))"
    )
    kept = bugsink.metric("bugsink_project_stored_events", "watchdog")
    bugsink.host.check_output("systemctl start bugsink-cleaning.service")
    assert bugsink.metric("bugsink_project_stored_events", "sensor") == 0
    assert bugsink.metric("bugsink_project_stored_events", "watchdog") == kept


def test_a_project_comes_by_the_inventory_and_keeps_as_much_as_that_says(
    bugsink: Bugsink, shop: CompletedProcess[str]
) -> None:
    assert changed_tasks(shop) == [
        "bugsink : Ensure settings and projects are in place",
        "bugsink : Ensure Bugsink runs what is on disk",
    ]
    before = bugsink.taken("web-shop")
    bugsink.tell(bugsink.dsn("Web shop"), "out of stock", 16)
    assert bugsink.takes("web-shop", before + 16)
    assert 0 < bugsink.metric("bugsink_project_stored_events", "web-shop") <= 6
