"""Profiles that browsers left behind: which ones systemd-tmpfiles takes away."""

from __future__ import annotations

from stage import bring, start
from testinfra.host import Host

UNIT = "systemd-tmpfiles-clean"


def test_the_timer_runs_often_enough(host: Host) -> None:
    shown = host.check_output(f"systemctl show --property=TimersMonotonic {UNIT}.timer")
    assert "OnUnitActiveUSec=1h" in shown


def test_what_no_process_uses_goes_and_the_rest_stays(host: Host) -> None:
    """A process in the /tmp of its own unit is one, too."""
    bring(host, "standin.py")
    program = "python3 /usr/local/lib/standin.py lookout-test-none calm"
    for name in ("scoped_dir1", ".org.chromium.Chromium.a", "rust_mozprofileB", "other"):
        host.check_output(f"mkdir -p /tmp/{name}/Default && touch /tmp/{name}/Default/.file")
    used = start(host, "used", program, "--user-data-dir=/tmp/.org.chromium.Chromium.a")
    inside = "mkdir -p /tmp/rust_mozprofileC && touch /tmp/rust_mozprofileC/prefs.js"
    host.check_output(
        "systemd-run --quiet --unit=private --property=PrivateTmp=yes --uid=driver sh -c %s",
        f"{inside} && exec {program} -profile /tmp/rust_mozprofileC",
    )
    try:
        host.check_output(f"systemctl start {UNIT}.service")
        assert not host.file("/tmp/scoped_dir1/Default").exists
        assert not host.file("/tmp/rust_mozprofileB/Default").exists
        assert host.file("/tmp/.org.chromium.Chromium.a/Default/.file").exists
        assert host.file("/tmp/other/Default/.file").exists
        private = "/tmp/systemd-private-*-private.service-*/tmp/rust_mozprofileC/prefs.js"
        assert host.run(f"ls {private}").rc == 0
    finally:
        host.check_output("systemctl stop used.service private.service")
    assert not used.alive
    # Once its browser is gone it goes, and the folders that were empty for a while go as well.
    host.check_output("touch -d '2 hours ago' /tmp/scoped_dir1 /tmp/rust_mozprofileB")
    host.check_output(f"systemctl start {UNIT}.service")
    assert not host.file("/tmp/.org.chromium.Chromium.a/Default").exists
    assert not host.file("/tmp/scoped_dir1").exists
    assert not host.file("/tmp/rust_mozprofileB").exists
    host.check_output("rm -r /tmp/other")


def test_where_it_cannot_tell_nothing_is_cleaned(host: Host) -> None:
    host.check_output("mkdir -p /tmp/rust_mozprofileD && touch /tmp/rust_mozprofileD/prefs.js")
    rules = "/etc/tmpfiles.d/lookout-profiles.conf"
    host.check_output(f"mv {rules} /root/kept && mkdir {rules}")
    assert host.run(f"systemctl start {UNIT}.service").rc != 0
    host.check_output(f"rmdir {rules} && mv /root/kept {rules}")
    assert host.file("/tmp/rust_mozprofileD/prefs.js").exists
    host.check_output(f"systemctl start {UNIT}.service")
    assert not host.file("/tmp/rust_mozprofileD/prefs.js").exists
