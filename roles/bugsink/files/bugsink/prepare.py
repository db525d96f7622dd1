"""Bring Bugsink's databases to what the inventory says, before every start.

Tables of this version, the administrator with the password of the inventory, and the projects,
each with the number and the key that its DSN was made of. What people made there stays.
"""

import json
import os
import sys
from pathlib import Path

import django
from django.core.management import call_command

HERE = Path(__file__).parent


def ensure_administrator(name: str, password: str):
    """Signs in whatever happened to the others; returned is who it is."""
    from users.models import User  # noqa: PLC0415 - Django has to be set up before

    user = User.objects.filter(username=name).first() or User(username=name)
    if not (user.pk and user.check_password(password)):
        user.set_password(password)
    user.is_active = user.is_staff = user.is_superuser = True
    user.save()
    return user


def ensure_project(declared: dict, administrator) -> None:
    """The project with this number, whatever it was called before; the administrator is in it."""
    from projects.models import Project, ProjectMembership, ProjectRole  # noqa: PLC0415
    from teams.models import Team, TeamMembership, TeamRole  # noqa: PLC0415

    other = Project.objects.filter(slug=declared["slug"]).exclude(pk=declared["id"]).first()
    if other:
        sys.exit(
            f"bugsink_projects: somebody made a project with the slug {other.slug} in Bugsink: "
            f"rename {declared['name']} in the inventory, or that one there"
        )
    team, _ = Team.objects.get_or_create(name=declared["team"])
    project, _ = Project.objects.update_or_create(
        pk=declared["id"],
        defaults={
            "name": declared["name"],
            "slug": declared["slug"],
            "team": team,
            "sentry_key": declared["key"],
            "retention_max_event_count": declared["events"],
            "is_deleted": False,
        },
    )
    TeamMembership.objects.get_or_create(
        team=team, user=administrator, defaults={"role": TeamRole.ADMIN, "accepted": True}
    )
    ProjectMembership.objects.get_or_create(
        project=project, user=administrator, defaults={"role": ProjectRole.ADMIN, "accepted": True}
    )


def main() -> None:
    """In this order: each needs what is before it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bugsink_conf")
    django.setup()
    for database in ("default", "snappea"):
        call_command("migrate", database=database, interactive=False, verbosity=0)
    site = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
    password = (HERE / "secrets/admin_password").read_text(encoding="utf-8")
    administrator = ensure_administrator(site["admin_user"], password)
    for project in json.loads((HERE / "secrets/projects.json").read_text(encoding="utf-8")):
        ensure_project(project, administrator)


if __name__ == "__main__":
    main()
