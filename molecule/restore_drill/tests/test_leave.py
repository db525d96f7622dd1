"""Last, as it takes the drill off: who left the group has nothing of it, and it comes back."""

from __future__ import annotations

from mutations import TRIXIE
from play import changed_tasks, converge
from site_of_drill import PROM, STATE, store

KEYS = "/var/lib/lookout/store/.ssh/authorized_keys"
SECRETS = ("/etc/lookout/restore_drill.ssh", "/etc/lookout/restore_drill.credentials")


def readers() -> list[str]:
    lines = store.check_output(f"cat {KEYS}").splitlines()
    return [line.split()[-1] for line in lines if line.endswith("/reader")]


def test_whoever_left_the_group_reads_nothing_more_and_comes_back() -> None:
    assert readers() == ["trixie/reader"]
    # As a run leaves it that was killed in the midst of taking it off
    store.check_output("rm -r /etc/lookout/restore_drill")
    done = converge(TRIXIE, playbook="leave.yml")
    assert done.returncode == 0, done.stdout
    assert readers() == []
    for path in (*SECRETS, STATE, PROM, "/usr/local/sbin/lookout-restore-drill"):
        assert not store.file(path).exists, path
    assert "restore_drill" not in store.check_output("systemctl list-unit-files 'lookout-*'")
    # What the host's own backup needs stays, and the backups of the host itself.
    store.check_output("restic version && lookout-backup --dry-run")
    again = converge(TRIXIE, playbook="leave.yml")
    assert again.returncode == 0, again.stdout
    assert changed_tasks(again) == []
    done = converge(TRIXIE)
    assert done.returncode == 0, done.stdout
    assert readers() == ["trixie/reader"]
    store.check_output("systemctl is-active lookout-restore_drill.timer")
