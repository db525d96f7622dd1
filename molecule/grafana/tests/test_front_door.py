"""What a browser and a stranger on the network see of it."""

from __future__ import annotations

import base64

import pytest
from grafana import COOKIE, DIRECT, SITES, Grafana, secret
from hosts import connect, scan

HOSTS = SITES
# As curl sends it when somebody has signed in at the gateway's portal
ALICE = "Basic " + base64.b64encode(b"alice:correct horse battery").decode()


def test_the_cookie_goes_nowhere_else(grafana: Grafana) -> None:
    _, answer = grafana.sign_in("vera")
    cookie = answer.cookies[COOKIE]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/grafana"


def test_the_gateway_leaves_the_sign_in_to_grafana(grafana: Grafana) -> None:
    page = grafana.visitor().ask("GET", "/login", headers={"Accept": "text/html"})
    assert page.status == 200
    assert "www-authenticate" not in page.headers
    away = grafana.visitor().ask("GET", "/", headers={"Accept": "text/html"})
    assert away.status == 302
    assert away.headers["location"].startswith("/grafana/login")


def test_the_gateways_password_does_not_reach_grafana(grafana: Grafana) -> None:
    """Which would take it for one of its own, and turn away who has signed in."""
    vera = grafana.signed_in("vera")
    answer = vera.ask("GET", "/api/user", headers={"Authorization": ALICE})
    assert answer.status == 200
    assert answer.json["login"] == "vera"
    login = grafana.visitor().ask("GET", "/login", headers={"Authorization": ALICE})
    assert login.status == 200


def test_basic_auth_gets_in_on_loopback_alone(grafana: Grafana) -> None:
    assert grafana.direct("/api/user")["login"] == "admin"
    word = base64.b64encode(f"admin:{secret('grafana_admin')}".encode()).decode()
    answer = grafana.visitor().ask("GET", "/api/user", headers={"Authorization": f"Basic {word}"})
    assert answer.status == 401


def test_another_page_cannot_act_for_somebody_who_is_signed_in(grafana: Grafana) -> None:
    ada = grafana.signed_in("ada")
    body = {"uid": "forged", "title": "Forged"}
    forged = ada.ask("POST", "/api/folders", body, {"Origin": "https://evil.example.com"})
    assert forged.status == 403
    own = ada.ask("POST", "/api/folders", body, {"Origin": f"https://{grafana.name}"})
    assert own.status == 200
    assert ada.ask("DELETE", "/api/folders/forged").status == 200


def test_it_listens_on_loopback_and_speaks_tls_alone(grafana: Grafana) -> None:
    host = grafana.host
    listening = host.check_output("ss -Hltnp | grep -E 'grafana|:3000 '").splitlines()
    assert {line.split()[3] for line in listening} == {"127.0.0.1:3000"}
    plain = host.run(
        f"curl -sS -o /dev/null -w '%{{http_code}}' {DIRECT.replace('https', 'http')}/api/health"
    )
    assert plain.rc != 0 or plain.stdout == "400"
    stranger = host.run(f"curl -sS {DIRECT}/api/health")
    assert "certificate" in stranger.stderr


def test_nobody_reaches_it_past_the_gateway(grafana: Grafana) -> None:
    assert scan(connect("directory"), grafana.name, "1-10000")["tcp"] == [80, 443]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("users", "allow_sign_up", "false"),
        ("users", "allow_org_create", "false"),
        ("auth.anonymous", "enabled", "false"),
        ("auth.ldap", "enabled", "true"),
        ("auth.ldap", "skip_org_role_sync", "false"),
        ("security", "cookie_secure", "true"),
        ("security", "cookie_samesite", "strict"),
        ("security", "disable_gravatar", "true"),
        ("security", "allow_embedding", "false"),
        ("security", "disable_brute_force_login_protection", "false"),
        ("analytics", "reporting_enabled", "false"),
        ("analytics", "check_for_updates", "false"),
        ("analytics", "check_for_plugin_updates", "false"),
        ("snapshots", "external_enabled", "false"),
        ("server", "protocol", "https"),
    ],
)
def test_what_grafana_itself_says_that_it_runs_with(
    grafana: Grafana, section: str, key: str, value: str
) -> None:
    assert grafana.direct("/api/admin/settings")[section][key].lower() == value


def test_nobody_signs_up(grafana: Grafana) -> None:
    body = {"email": "eve@example.com", "username": "eve", "password": "evening-evening"}
    assert grafana.visitor().ask("POST", "/api/user/signup", body).status in (401, 403, 404)
    assert "eve" not in grafana.roles()


def test_secrets_are_masked_in_the_settings(grafana: Grafana) -> None:
    shown = str(grafana.signed_in("sven").get("/api/admin/settings"))
    assert secret("grafana_admin") not in shown
    assert secret("grafana_secret_key") not in shown


def test_the_gateway_says_how_browsers_shall_behave(grafana: Grafana) -> None:
    headers = grafana.signed_in("vera").ask("GET", "/api/user").headers
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"].lower() in ("deny", "sameorigin")
    assert headers["referrer-policy"]
