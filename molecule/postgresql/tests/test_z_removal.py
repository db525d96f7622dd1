"""Last, as it takes the server with its databases off, and what came before it."""

from __future__ import annotations

from database import Database
from play import converge

INSTALLED = (
    r"dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii  *//p'"
)
# What every Debian host has of this name
PLACES = "/etc /opt /usr/bin /usr/lib/postgresql /usr/local /var/lib/postgresql /var/backups"


def test_nothing_of_it_is_left(database: Database) -> None:
    host, name, unit = database.host, database.name, database.unit
    before = host.check_output("cat /var/lib/lookout/packages.before").split()
    assert "postgres" in host.check_output("getent passwd")
    done = converge(name, playbook="remove.yml")
    assert done.returncode == 0, done.stdout
    assert sorted(host.check_output(INSTALLED).split()) == sorted(before)
    assert host.run(f"find {PLACES} -iname '*postgres*'").stdout == ""
    assert host.run("ls -d /etc/lookout /var/lib/lookout /usr/local/lib/lookout").stdout == ""
    assert "postgres" not in host.check_output("getent passwd; getent group")
    assert host.run("ss -Hltn 'sport = :5432'").stdout == ""
    assert host.check_output(f"systemctl show --property=LoadState --value {unit}") == "not-found"
