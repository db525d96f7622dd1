"""Endpoints about service accounts and their tokens."""

from __future__ import annotations

import re
from typing import Any

from .accounts import RANK
from .api_users import find
from .app import App, RefusalError, Request, Response, answer, denied, done, route
from .database import Row, now


def _account(app: App, user: Row) -> dict[str, Any]:
    return {
        "id": user["id"], "uid": user["uid"], "name": user["name"], "login": user["login"],
        "orgId": 1, "isDisabled": bool(user["is_disabled"]), "role": user["role"], "avatarUrl": "",
        "tokens": app.database.count("api_key", "service_account_id = ?", user["id"]),
    }  # fmt: skip


@route("GET", "/api/serviceaccounts/search", "Admin", "serviceaccounts:read")
def service_accounts(app: App, _: Request) -> Response:
    rows = app.database.run('SELECT * FROM "user" WHERE is_service_account = 1 ORDER BY login')
    found = [_account(app, user) for user in rows]
    return answer({"totalCount": len(found), "serviceAccounts": found, "page": 1, "perPage": 1000})


@route("POST", "/api/serviceaccounts", "Admin", "serviceaccounts:create")
def create_service_account(app: App, request: Request) -> Response:
    given = request.json()
    name, role = str(given.get("name") or ""), given.get("role") or "Viewer"
    if not name or role not in RANK:
        raise RefusalError(400, "invalid name or role")
    if not request.user.has(role):
        raise denied("serviceaccounts:create")
    login = "sa-1-" + re.sub(r"\s+", "-", name.lower())
    if app.database.count("user", "login = ?", login):
        raise RefusalError(400, "service account already exists")
    made = app.accounts.create(
        login,
        name=name,
        role=role,
        is_service_account=1,
        is_disabled=int(bool(given.get("isDisabled"))),
    )
    return answer(_account(app, find(app, str(made), 1)), 201)


@route("GET", "/api/serviceaccounts/:number", "Admin", "serviceaccounts:read")
def service_account(app: App, _: Request, number: str) -> Response:
    return answer(_account(app, find(app, number, 1)))


@route("DELETE", "/api/serviceaccounts/:number", "Admin", "serviceaccounts:delete")
def delete_service_account(app: App, _: Request, number: str) -> Response:
    user = find(app, number, 1)
    app.database.delete("api_key", service_account_id=user["id"])
    app.database.delete("user", id=user["id"])
    return done("Service account deleted")


@route("GET", "/api/serviceaccounts/:number/tokens", "Admin", "serviceaccounts:read")
def tokens(app: App, _: Request, number: str) -> Response:
    user = find(app, number, 1)
    rows = app.database.run(
        "SELECT * FROM api_key WHERE service_account_id = ? ORDER BY id", user["id"]
    )
    return answer(
        [
            {
                "id": row["id"], "name": row["name"], "created": row["created"], "isRevoked": False,
                "lastUsedAt": row["last_used_at"] or None, "expiration": row["expires"] or None,
                "hasExpired": bool(row["expires"]) and row["expires"] < now(),
            }
            for row in rows
        ]
    )  # fmt: skip


@route("POST", "/api/serviceaccounts/:number/tokens", "Admin", "serviceaccounts:write")
def make_token(app: App, request: Request, number: str) -> Response:
    user, given = find(app, number, 1), request.json()
    name = str(given.get("name") or "")
    if not name or app.database.count(
        "api_key", "service_account_id = ? AND name = ?", user["id"], name
    ):
        raise RefusalError(400, "a token needs a name of its own")
    made, key = app.accounts.make_token(user["id"], name, int(given.get("secondsToLive") or 0))
    return answer({"id": made, "name": name, "key": key})


@route("DELETE", "/api/serviceaccounts/:number/tokens/:token", "Admin", "serviceaccounts:write")
def delete_token(app: App, _: Request, number: str, token: str) -> Response:
    user = find(app, number, 1)
    app.database.delete(
        "api_key", service_account_id=user["id"], id=int(token) if token.isdigit() else 0
    )
    return done("Service account token deleted")
