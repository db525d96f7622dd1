"""What is wrong ends the run before anything goes live, or Bugsink goes back to what it ran."""

from __future__ import annotations

from errors import DIRECT, Bugsink
from hosts import CURL
from play import converge

HOSTS = ["trixie"]


def test_all_mistakes_of_the_inventory_are_named_at_once(bugsink: Bugsink) -> None:
    started = "systemctl show --property=ExecMainStartTimestamp bugsink"
    before = bugsink.host.check_output(started)
    done = converge(
        bugsink.name,
        bugsink_projects=[{"name": "shop", "evnts": 5}, {"name": "a/b"}],
        bugsink_retention_days=0,
        bugsink_admin_password="canary",
    )
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    for words in (
        "bugsink_projects: shop: a project has no evnts; did you mean events?",
        "a project needs a name of letters",
        "bugsink_retention_days must be a whole number from 1 on, got 0",
        "bugsink_admin_password must be 8 or more",
    ):
        assert words in said
    assert "canary" not in done.stdout + done.stderr
    assert bugsink.host.check_output(started) == before


def test_what_only_bugsink_refuses_is_rolled_back(bugsink: Bugsink) -> None:
    """A project of the same slug, which somebody made by hand."""
    bugsink.django(
        "from projects.models import Project;"
        "Project.objects.get_or_create(slug='made-by-hand', defaults={'name': 'x'})"
    )
    done = converge(bugsink.name, bugsink_projects=[{"name": "made-by-hand"}])
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "somebody made a project with the slug made-by-hand in Bugsink" in said
    assert bugsink.host.run(f"{CURL} {DIRECT}/health/ready").rc == 0
    assert bugsink.post(bugsink.dsn("watchdog")) == 200
