"""Last, as it takes the health checks off: nothing of them is left, and they come back."""

from __future__ import annotations

from hosts import connect, host_names
from play import changed_tasks, converge


def test_switched_off_it_leaves_nothing_and_comes_back() -> None:
    done = converge(*host_names(), health_enabled=False)
    assert done.returncode == 0, done.stdout
    for name in host_names():
        left = connect(name).check_output(
            "find / -xdev -not -path '/proc/*' -path '*health*' -not -path '*/lookout/health.d*'"
            " -not -path '*/started_from/*' -not -path '/root/*' -not -path '/usr/*'"
            " -not -path '/var/log/journal/*'"
        )
        assert left == ""
        # They share a package of Python's.
        shared = connect(name).check_output("dpkg-query -W prometheus-node-exporter-collectors")
        assert shared.split()[1:], "what others need has to stay"
    done = converge(*host_names())
    assert done.returncode == 0, done.stdout
    assert "health : Ensure the checks have run once" in changed_tasks(done)
