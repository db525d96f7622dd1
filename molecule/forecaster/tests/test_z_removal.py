"""Last, as it takes the forecasts off."""

from __future__ import annotations

from hosts import connect, host_names
from play import converge

PLACES = "/etc /opt /usr/local /var/lib /var/log /run"
# What Prometheus, the gateway and the backup know of it goes when the host goes.
OTHERS = (
    "/etc/(prometheus|lookout/(routes|backup|registered)[^/]*)",
    "/var/lib/(prometheus|lookout/started_from)",
)


def test_nothing_of_it_is_left() -> None:
    done = converge(*host_names(), playbook="remove.yml")
    assert done.returncode == 0, done.stdout
    for host in map(connect, host_names()):
        left = host.run(f"find {PLACES} -iname '*forecast*' | grep -vE '^({'|'.join(OTHERS)})/'")
        assert left.stdout == ""
        assert not host.file("/var/lib/lookout/models").exists
        assert not host.file("/usr/local/sbin/lookout-token").exists
        assert not host.package("python3-numpy").is_installed
        assert host.run("ss -Hltn 'sport = :9704'").stdout == ""
        assert host.run("systemctl list-units --all 'lookout-forecaster*' --no-legend").stdout == ""
