"""Endpoints about users and the organisation."""

from __future__ import annotations

from typing import Any

from .accounts import RANK
from .app import App, RefusalError, Request, Response, answer, done, route
from .database import Row


def _labels(app: App, user: Row) -> list[str]:
    return ["LDAP"] if app.accounts.is_external(user["id"]) else []


def _listed(app: App, user: Row) -> dict[str, Any]:
    return {
        "id": user["id"], "uid": user["uid"], "name": user["name"], "login": user["login"],
        "email": user["email"], "avatarUrl": "", "isAdmin": bool(user["is_admin"]),
        "isDisabled": bool(user["is_disabled"]), "lastSeenAt": user["last_seen_at"],
        "lastSeenAtAge": "", "authLabels": _labels(app, user), "isProvisioned": False,
    }  # fmt: skip


def _profile(app: App, user: Row) -> dict[str, Any]:
    external = app.accounts.is_external(user["id"])
    return {
        "id": user["id"], "uid": user["uid"], "email": user["email"], "name": user["name"],
        "login": user["login"], "theme": "", "orgId": 1, "isGrafanaAdmin": bool(user["is_admin"]),
        "isDisabled": bool(user["is_disabled"]), "isExternal": external,
        "isExternallySynced": external,
        "isGrafanaAdminExternallySynced": external, "authLabels": _labels(app, user),
        "updatedAt": user["last_seen_at"], "createdAt": user["created"], "avatarUrl": "",
        "isProvisioned": False,
    }  # fmt: skip


def find(app: App, number: str, service_account: int = 0) -> Row:
    """A user (or service account) by the number in a path; 404 where there is none."""
    user = app.accounts.by_id(int(number)) if number.isdigit() else None
    if not user or user["is_service_account"] != service_account:
        raise RefusalError(
            404, "service account not found" if service_account else "user not found"
        )
    return user


def _users(app: App, request: Request) -> tuple[list[Row], int, int, int]:
    """The page of users that was asked for, the number of all, the page, its size."""
    page, size = (
        int(request.argument("page", "1") or 1),
        int(request.argument("perpage", "1000") or 1000),
    )
    wanted = f"%{request.argument('query').lower()}%"
    rows = app.database.run(
        'SELECT * FROM "user" WHERE is_service_account = 0 '
        "AND (lower(login) LIKE ? OR lower(email) LIKE ? OR lower(name) LIKE ?) "
        "ORDER BY lower(login)",
        wanted, wanted, wanted,
    )  # fmt: skip
    return rows[(page - 1) * size : page * size], len(rows), page, size


@route("GET", "/api/user")
def own_user(app: App, request: Request) -> Response:
    return answer(_profile(app, request.user.row))


@route("GET", "/api/user/orgs")
def own_orgs(_: App, request: Request) -> Response:
    return answer([{"orgId": 1, "name": "Main Org.", "role": request.user.row["role"]}])


@route("GET", "/api/org", "Viewer", "orgs:read")
def org(_: App, __: Request) -> Response:
    fields = ("address1", "address2", "city", "zipCode", "state", "country")
    return answer({"id": 1, "name": "Main Org.", "address": dict.fromkeys(fields, "")})


@route("GET", "/api/org/users", "Admin", "org.users:read")
def org_users(app: App, request: Request) -> Response:
    return answer(
        [
            {
                "orgId": 1, "userId": user["id"], "uid": user["uid"], "email": user["email"],
                "name": user["name"], "avatarUrl": "", "login": user["login"], "role": user["role"],
                "lastSeenAt": user["last_seen_at"], "lastSeenAtAge": "",
                "isDisabled": bool(user["is_disabled"]), "authLabels": _labels(app, user),
                "isExternallySynced": app.accounts.is_external(user["id"]),
            }
            for user in _users(app, request)[0]
        ]
    )  # fmt: skip


@route("PATCH", "/api/org/users/:number", "Admin", "org.users:write")
def change_org_user(app: App, request: Request, number: str) -> Response:
    user, role = find(app, number), request.json().get("role")
    if role not in RANK:
        raise RefusalError(400, "Invalid role specified")
    if app.accounts.is_external(user["id"]):
        raise RefusalError(403, "Cannot change role for externally synced user")
    app.database.update("user", "id", user["id"], role=role)
    return done("Organization user updated")


@route("GET", "/api/users", "server", "users:read")
def users(app: App, request: Request) -> Response:
    return answer([_listed(app, user) for user in _users(app, request)[0]])


@route("GET", "/api/users/search", "server", "users:read")
def search_users(app: App, request: Request) -> Response:
    rows, total, page, size = _users(app, request)
    found = [_listed(app, user) for user in rows]
    return answer({"totalCount": total, "users": found, "page": page, "perPage": size})


@route("GET", "/api/users/lookup", "server", "users:read")
def look_up(app: App, request: Request) -> Response:
    user = app.accounts.by_login(request.argument("loginOrEmail"))
    if not user:
        raise RefusalError(404, "user not found")
    return answer(_profile(app, user))


@route("GET", "/api/users/:number", "server", "users:read")
def one_user(app: App, _: Request, number: str) -> Response:
    return answer(_profile(app, find(app, number)))


@route("GET", "/api/teams/search", "Admin", "teams:read")
def teams(_: App, __: Request) -> Response:
    return answer({"totalCount": 0, "teams": [], "page": 1, "perPage": 1000})
