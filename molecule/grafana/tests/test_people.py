"""Roles come from the directory, and each sign-in looks at it anew."""

from __future__ import annotations

from grafana import ADMIN, SITES, Grafana
from people import absent, directory, moved, password_of

HOSTS = SITES
VIEWERS, EDITORS = "grafana-viewers", "grafana-editors"
ADMINS, SERVER_ADMINS = "grafana-admins", "grafana-server-admins"


def test_everybody_has_the_role_of_the_group(grafana: Grafana) -> None:
    wanted = {"ada": "Admin", "sven": "Admin", "edgar": "Editor", "vera": "Viewer"}
    for user in wanted:
        grafana.signed_in(user)
    roles = grafana.roles()
    assert {user: roles[user] for user in wanted} == wanted
    assert roles[ADMIN] == "Admin"


def test_one_group_makes_server_administrators(grafana: Grafana) -> None:
    servers = {
        user: grafana.signed_in(user).get("/api/user")["isGrafanaAdmin"]
        for user in ("sven", "ada", "edgar", "vera", ADMIN)
    }
    assert servers == {"sven": True, "ada": False, "edgar": False, "vera": False, ADMIN: True}


def test_name_and_mail_are_those_of_the_directory(grafana: Grafana) -> None:
    vera = grafana.signed_in("vera").get("/api/user")
    assert (vera["login"], vera["email"]) == ("vera", "vera@example.com")
    assert vera["isExternal"]
    assert vera["authLabels"] == ["LDAP"]


def test_a_change_of_group_takes_effect_at_the_next_sign_in(grafana: Grafana) -> None:
    grafana.signed_in("mona")
    assert grafana.roles()["mona"] == "Viewer"
    for target, role in ((EDITORS, "Editor"), (ADMINS, "Admin")):
        with moved("mona", VIEWERS, target):
            grafana.signed_in("mona")
            assert grafana.roles()["mona"] == role
    with moved("mona", VIEWERS, SERVER_ADMINS):
        assert grafana.signed_in("mona").get("/api/user")["isGrafanaAdmin"]
    mona = grafana.signed_in("mona")
    assert not mona.get("/api/user")["isGrafanaAdmin"]
    assert mona.ask("GET", "/api/org/users").status == 403
    assert grafana.roles()["mona"] == "Viewer"


def test_who_is_in_no_group_any_more_is_turned_away(grafana: Grafana) -> None:
    grafana.signed_in("mona")
    with moved("mona", VIEWERS):
        grafana.refused("mona")
    grafana.signed_in("mona")
    assert grafana.roles()["mona"] == "Viewer"


def test_who_left_the_directory_is_turned_away(grafana: Grafana) -> None:
    grafana.signed_in("rita")
    with absent("rita", VIEWERS):
        grafana.refused("rita")
    grafana.signed_in("rita")


def test_a_password_that_was_changed_is_the_only_one(grafana: Grafana) -> None:
    """Grafana keeps none."""
    grafana.signed_in("rita")
    change = "ldappasswd -Q -Y EXTERNAL -H ldapi:/// -s %s uid=rita,ou=people,dc=example,dc=com"
    directory().check_output(change, "another")
    try:
        grafana.refused("rita")
        grafana.signed_in("rita", "another")
    finally:
        directory().check_output(change, password_of("rita"))
    grafana.signed_in("rita")


def test_an_account_of_the_directory_does_not_become_the_local_admin(grafana: Grafana) -> None:
    """An editor there has the same name."""
    grafana.refused(ADMIN, password_of(ADMIN))
    me = grafana.signed_in(ADMIN).get("/api/user")
    assert me["isGrafanaAdmin"]
    assert not me["isExternal"]
    assert grafana.roles()[ADMIN] == "Admin"


def test_nobody_gives_a_role_to_oneself(grafana: Grafana) -> None:
    vera = grafana.signed_in("vera")
    number = vera.get("/api/user")["id"]
    assert vera.ask("PATCH", f"/api/org/users/{number}", {"role": "Admin"}).status == 403
    permissions = {"isGrafanaAdmin": True}
    assert vera.ask("PUT", f"/api/admin/users/{number}/permissions", permissions).status == 403
    assert grafana.roles()["vera"] == "Viewer"
