"""mtail as a service: who reaches it, what it may do, which programs it takes."""

from __future__ import annotations

import re
import time

import pytest
import yaml
from gateway import MTAIL, UNIT, samples, send, settled, total
from hosts import wait_for
from parts import Registered
from play import changed_tasks, converge
from testinfra.host import Host
from units import assert_hardened, assert_survives_a_kill, main_pid

PROGRAMS = "/etc/mtail/programs"
MOST_MEMORY_KB = 40_000
OTHER_LOG = "/var/log/monitoring/other.log"
PROGRAM = """
counter other_lines_total
getfilename() == "/var/log/monitoring/other.log" {
  /./ {
    other_lines_total++
  }
}
"""
BROKEN = "counter broken_total\n/x {\n"


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def test_it_listens_on_loopback_alone(host: Host) -> None:
    listening = host.check_output("ss -Hltnp | grep mtail").splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:3903"]


def test_it_is_scraped_through_the_metrics_server(host: Host, name: str) -> None:
    file = host.file(f"/etc/prometheus/targets/mtail/{name}.yml")
    assert yaml.safe_load(file.content_string) == [
        {"targets": ["127.0.0.1:4040"], "labels": {"instance": name}}
    ]


def test_it_may_do_no_more_than_it_needs(host: Host) -> None:
    assert_hardened(host, UNIT, 2.5, user="mtail")
    groups = host.check_output(f"grep ^Groups: /proc/{main_pid(host, UNIT)}/status").split()
    assert str(host.group("lookout").gid) in groups


def test_it_fits_into_a_small_host(host: Host) -> None:
    shown = host.check_output(f"grep ^Pss: /proc/{main_pid(host, UNIT)}/smaps_rollup")
    assert int(shown.split()[1]) < MOST_MEMORY_KB


def test_its_configuration_is_saved_and_proven(host: Host) -> None:
    part = Registered(host, "configuration-mtail")
    part.assert_a_copy_is_good()
    part.assert_damage_is_found(
        "echo broken >> files/etc/mtail/programs/lookout_http.mtail", "bytes is"
    )
    assert part.check().rc != 0, "its own program finds out, too"
    part.forget()


def test_it_is_back_after_a_kill(host: Host) -> None:
    assert_survives_a_kill(host, UNIT, MTAIL)


def test_flags_that_a_dead_run_left_unread_are_taken_up(host: Host, name: str) -> None:
    """The state between the change of the flags and the restart, as a kill leaves it."""
    host.check_output("touch /etc/default/mtail")
    done = converge(name)
    assert changed_tasks(done) == ["mtail : Ensure mtail runs what is on disk"], done.stdout


def test_names_that_cannot_be_used_are_refused_before_anything_changes() -> None:
    done = converge(
        "all",
        mtail_extra_programs={"lookout_http": "", "../x": ""},
        mtail_logs=["var/log/x.log", "/var/log/a,b"],
    )
    assert done.returncode != 0
    assert changed_tasks(done) == []
    said = re.sub(r"\s+", " ", done.stdout)
    for words in (
        "mtail_extra_programs: ../x is no name of a program",
        "mtail_extra_programs: lookout_http is the program of Lookout itself",
        "is no absolute path",
    ):
        assert words in said, words


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_program_that_mtail_refuses_never_goes_live(
    host: Host, name: str, check_mode: bool
) -> None:
    live, pid = host.check_output(f"readlink -f {PROGRAMS}"), main_pid(host, UNIT)
    trees = host.check_output(f"ls {PROGRAMS}.trees")
    send(host, "/app/status/200", 3)
    before = settled(host)
    done = converge(name, check_mode=check_mode, mtail_extra_programs={"broken": BROKEN})
    assert done.returncode != 0
    assert "broken.mtail:2" in done.stdout
    assert host.check_output(f"readlink -f {PROGRAMS}") == live
    assert host.check_output(f"ls {PROGRAMS}.trees") == trees
    assert main_pid(host, UNIT) == pid
    assert samples(host) == before


def test_a_program_of_ones_own_is_added_and_taken_away(host: Host, name: str) -> None:
    host.check_output(f"touch {OTHER_LOG}")
    done = converge(name, mtail_logs=[OTHER_LOG])
    assert done.returncode == 0, done.stdout
    send(host, "/app/status/200", 3)
    counted, pid = total(host), main_pid(host, UNIT)

    done = converge(name, mtail_logs=[OTHER_LOG], mtail_extra_programs={"other": PROGRAM})
    assert changed_tasks(done) == [
        "mtail : Ensure the programs are checked and in place",
        "mtail : Ensure mtail runs what is on disk",
    ], done.stdout
    assert main_pid(host, UNIT) == pid, "a reload is no restart"
    time.sleep(1)  # the signal is no call that waits
    host.check_output(f"printf 'a\\nb\\n' >> {OTHER_LOG}")
    wanted = 'other_lines_total{prog="other.mtail"} 2'
    assert wait_for(lambda: wanted in host.check_output(f"curl -fsS {MTAIL}"), 5)
    assert total(host) == counted, "what was counted is kept, and the other log is not ours"

    assert converge(name).returncode == 0
    assert "other_lines" not in host.check_output(f"curl -fsS {MTAIL}")
    assert host.check_output(f"ls {PROGRAMS}/") == "lookout_http.mtail"


def test_a_flag_that_it_does_not_know_is_reported_with_its_own_words(host: Host, name: str) -> None:
    done = converge(name, mtail_flags=["no-such-flag"])
    assert done.returncode != 0
    assert "no-such-flag" in done.stdout
    assert "the former one is live again" in " ".join(done.stdout.split())
    assert host.run(f"curl -fsS {MTAIL}").rc == 0, "it has to run as it did before"
    assert converge(name).returncode == 0
