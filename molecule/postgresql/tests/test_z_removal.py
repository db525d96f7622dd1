"""Last, as it takes the server with its databases off."""

from __future__ import annotations

from database import Database
from play import changed_tasks, converge


def test_nothing_of_it_is_left(database: Database) -> None:
    host, name, unit = database.host, database.name, database.unit
    done = converge(name, playbook="remove.yml")
    assert done.returncode == 0, done.stdout
    left = host.run(
        "find / -xdev ( -path /proc -o -path /sys -o -path /usr/share -o -path /var/cache -o -path"
        " /usr/lib/python3 -o -path /var/lib/apt -o -path /var/lib/lookout ) -prune -o "
        "-iname '*postgres*' -print".replace("(", "\\(").replace(")", "\\)")
    )
    logs = "/var/log/monitoring/postgresql"
    assert [line for line in left.stdout.split() if not line.startswith(logs)] == []
    assert host.run("dpkg --list 'postgresql*' | grep ^ii").stdout == ""
    assert host.run("ss -Hltn 'sport = :5432'").stdout == ""
    assert host.check_output(f"systemctl show --property=LoadState --value {unit}") == "not-found"
    # base takes it away when it goes itself.
    assert "postgres" in host.file("/var/lib/lookout/users.ours").content_string.split()

    again = converge(name, playbook="remove.yml")
    assert again.returncode == 0, again.stdout
    assert changed_tasks(again) == []


def test_it_comes_back(database: Database) -> None:
    done = converge(database.name)
    assert done.returncode == 0, done.stdout
    assert database.ask("select count(*) from spots", "spots") == "1"
