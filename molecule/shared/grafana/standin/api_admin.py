"""Endpoints for the server's administrators."""

from __future__ import annotations

import re

from . import provisioning
from .api_users import find
from .app import App, RefusalError, Request, Response, answer, done, route

SECRET = re.compile(r"password|secret|_key$|token|provider_config", re.IGNORECASE)


@route("POST", "/api/admin/users", "server", "users:create")
def create_user(app: App, request: Request) -> Response:
    given = request.json()
    login, email = given.get("login") or given.get("email") or "", given.get("email") or ""
    if not login:
        raise RefusalError(400, "Validation error, need specify either username or email")
    if len(str(given.get("password") or "")) < 4:
        raise RefusalError(400, "Password is missing or too short")
    if app.accounts.by_login(login) or (email and app.accounts.by_login(email)):
        raise RefusalError(412, f"User with email '{email}' or username '{login}' already exists")
    role = app.settings.text("users", "auto_assign_org_role", "Viewer")
    made = app.accounts.create(
        login, given["password"], email=email, name=given.get("name") or "", role=role
    )
    user = app.accounts.by_id(made)
    return done("User created", id=made, uid=user and user["uid"])


@route("PUT", "/api/admin/users/:number/password", "server", "users.password:write")
def set_password(app: App, request: Request, number: str) -> Response:
    user, password = find(app, number), str(request.json().get("password") or "")
    if len(password) < 4:
        raise RefusalError(400, "New password too short")
    app.accounts.set_password_of(app.database, user["id"], password)
    app.accounts.close_sessions_of(user["id"])
    return done("User password updated")


@route("PUT", "/api/admin/users/:number/permissions", "server", "users.permissions:write")
def set_server_admin(app: App, request: Request, number: str) -> Response:
    user = find(app, number)
    app.database.update(
        "user", "id", user["id"], is_admin=int(bool(request.json().get("isGrafanaAdmin")))
    )
    return done("User permissions updated")


@route("POST", "/api/admin/users/:number/disable", "server", "users:disable")
def disable_user(app: App, _: Request, number: str) -> Response:
    """Only a local user: whether a user of LDAP may sign in is LDAP's to say."""
    user = find(app, number)
    if app.accounts.is_external(user["id"]):
        raise RefusalError(500, "Could not disable external user")
    app.database.update("user", "id", user["id"], is_disabled=1)
    app.accounts.close_sessions_of(user["id"])
    return done("User disabled")


@route("POST", "/api/admin/users/:number/enable", "server", "users:enable")
def enable_user(app: App, _: Request, number: str) -> Response:
    user = find(app, number)
    if app.accounts.is_external(user["id"]):
        raise RefusalError(500, "Could not enable external user")
    app.database.update("user", "id", user["id"], is_disabled=0)
    return done("User enabled")


@route("POST", "/api/admin/users/:number/logout", "server", "users.logout")
def sign_out_user(app: App, _: Request, number: str) -> Response:
    app.accounts.close_sessions_of(find(app, number)["id"])
    return done("User logged out")


@route("DELETE", "/api/admin/users/:number", "server", "users:delete")
def delete_user(app: App, _: Request, number: str) -> Response:
    user = find(app, number)
    app.accounts.close_sessions_of(user["id"])
    app.database.delete("user_auth", user_id=user["id"])
    app.database.delete("user", id=user["id"])
    return done("User deleted")


@route("GET", "/api/admin/stats", "server", "server.stats:read")
def stats(app: App, _: Request) -> Response:
    count = app.database.count
    people = "is_service_account = 0"
    return answer(
        {
            "orgs": 1, "dashboards": count("dashboard"), "datasources": count("data_source"),
            "users": count("user", people), "admins": count("user", f"{people} AND role = 'Admin'"),
            "editors": count("user", f"{people} AND role = 'Editor'"),
            "viewers": count("user", f"{people} AND role = 'Viewer'"),
            "activeSessions": count("user_auth_token"), "folders": count("folder"),
        }
    )  # fmt: skip


@route("GET", "/api/admin/settings", "server", "settings:read")
def shown_settings(app: App, _: Request) -> Response:
    return answer(
        {
            section: {k: "*********" if SECRET.search(k) and v else v for k, v in pairs.items()}
            for section, pairs in app.settings.sections.items()
        }
    )


@route("POST", "/api/admin/provisioning/:what/reload", "server", "provisioning:reload")
def reload(app: App, _: Request, what: str) -> Response:
    try:
        if what == "dashboards":
            app.dashboards.load()
        elif what == "datasources":
            provisioning.provision_sources(app.settings.provisioning / "datasources", app.sources)
        else:
            raise RefusalError(404, "Not found")
    except provisioning.ProvisioningError as error:
        provisioning.LOG.error("Failed to provision", what=what, error=error)
        raise RefusalError(500, "Internal Server Error") from None
    return done(f"{what.capitalize()} config reloaded")
