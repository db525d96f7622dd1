"""Each refusal says what is wrong, on which host, and how to mend it."""

from __future__ import annotations

import pytest
from play import converge
from testinfra.host import Host

HUGE = 10**9


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"preflight_min_memory_mb": HUGE}, "Give the VM more, or lower preflight_min_memory_mb"),
        (
            {"preflight_min_free_disk_mb": HUGE},
            "grow the disk, or lower preflight_min_free_disk_mb",
        ),
        ({"preflight_max_clock_difference_seconds": -1}, "timedatectl set-ntp true"),
        ({"__preflight_tested_releases": ["sid"]}, "reinstall or upgrade the host"),
        ({"preflight_own_groups": []}, "Unknown group one_site_each"),
    ],
)
def test_a_host_that_cannot_carry_the_site_is_refused(
    variables: dict[str, object], message: str
) -> None:
    done = converge("trixie", **variables)
    assert done.returncode != 0
    assert message in " ".join(done.stdout.split())
    assert "changed=0" in done.stdout


def test_a_name_that_does_not_resolve_is_refused() -> None:
    address = "{{ 'nowhere.invalid' if inventory_hostname == 'trixie' else '' }}"
    done = converge("trixie", register_scraped_by=["bookworm"], register_address=address)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "nowhere.invalid is unknown on bookworm" in said
    assert "set register_address of trixie" in said


def test_a_full_disk_is_refused(host: Host) -> None:
    """A real one: two megabytes mounted where packages put their files."""
    host.check_output("mount -t tmpfs -o size=2m tmpfs /var")
    done = converge(host.check_output("hostname"))
    host.check_output("umount /var")
    assert done.returncode != 0
    assert "has 2 MB free below /var" in " ".join(done.stdout.split())
