"""Endpoints about folders, dashboards and search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .app import App, RefusalError, Request, Response, answer, denied, done, route
from .database import Row
from .folders import ADMIN, EDIT, NAMES, VIEW, DashboardError, slug


def _refusal(error: DashboardError) -> RefusalError:
    more = {"status": error.status} if error.status else {}
    return RefusalError(error.code, str(error), **more)


def _folder(app: App, request: Request, uid: str, needed: int, action: str) -> Row:
    row = app.folders.get(uid)
    if not row:
        raise RefusalError(404, "folder not found")
    if app.folders.level(request.user, uid) < needed:
        raise denied(action)
    return row


def _folder_url(app: App, row: Row) -> str:
    return f"{app.settings.sub_path}/dashboards/f/{row['uid']}/{slug(row['title'])}"


def _whole_folder(app: App, request: Request, row: Row) -> dict[str, Any]:
    level = app.folders.level(request.user, row["uid"])
    return {
        "id": row["id"], "uid": row["uid"], "orgId": 1, "title": row["title"],
        "url": _folder_url(app, row), "hasAcl": False, "canSave": level >= EDIT,
        "canEdit": level >= EDIT, "canAdmin": level >= ADMIN, "canDelete": level >= EDIT,
        "createdBy": "", "updatedBy": "", "created": row["created"],
        "updated": row["updated"], "version": 1,
    }  # fmt: skip


@route("GET", "/api/folders", "Viewer", "folders:read")
def folders(app: App, request: Request) -> Response:
    seen = [row for row in app.folders.all() if app.folders.level(request.user, row["uid"])]
    return answer([{"id": row["id"], "uid": row["uid"], "title": row["title"]} for row in seen])


@route("POST", "/api/folders", "Editor", "folders:create")
def create_folder(app: App, request: Request) -> Response:
    given = request.json()
    try:
        row = app.folders.create(
            str(given.get("title") or ""), str(given.get("uid") or ""), request.user.id
        )
    except DashboardError as error:
        raise _refusal(error) from None
    return answer(_whole_folder(app, request, row))


@route("GET", "/api/folders/:uid", "Viewer", "folders:read")
def folder(app: App, request: Request, uid: str) -> Response:
    return answer(_whole_folder(app, request, _folder(app, request, uid, VIEW, "folders:read")))


@route("PUT", "/api/folders/:uid", "Viewer", "folders:write")
def rename_folder(app: App, request: Request, uid: str) -> Response:
    row, given = _folder(app, request, uid, EDIT, "folders:write"), request.json()
    if not given.get("title"):
        raise RefusalError(400, "folder title cannot be empty")
    app.database.update("folder", "uid", uid, title=given["title"])
    return answer(_whole_folder(app, request, {**row, "title": given["title"]}))


@route("DELETE", "/api/folders/:uid", "Viewer", "folders:delete")
def delete_folder(app: App, request: Request, uid: str) -> Response:
    row = _folder(app, request, uid, EDIT, "folders:delete")
    app.folders.delete(uid)
    return done(f"Folder {row['title']} deleted", id=row["id"], title=row["title"])


@route("GET", "/api/folders/:uid/permissions", "Viewer", "folders.permissions:read")
def permissions(app: App, request: Request, uid: str) -> Response:
    row = _folder(app, request, uid, ADMIN, "folders.permissions:read")
    shown = []
    for item in app.folders.permissions(uid):
        user = app.accounts.by_id(item["user_id"]) if item["user_id"] else None
        shown.append(
            {
                "uid": uid, "title": row["title"], "slug": slug(row["title"]), "isFolder": True,
                "url": _folder_url(app, row), "userId": item["user_id"], "teamId": 0, "team": "",
                "userLogin": user["login"] if user else "",
                "userEmail": user["email"] if user else "",
                "permission": item["permission"], "permissionName": NAMES[item["permission"]],
                "inherited": False, **({"role": item["role"]} if item["role"] else {}),
            }
        )  # fmt: skip
    return answer(shown)


@route("POST", "/api/folders/:uid/permissions", "Viewer", "folders.permissions:write")
def set_permissions(app: App, request: Request, uid: str) -> Response:
    row = _folder(app, request, uid, ADMIN, "folders.permissions:write")
    try:
        app.folders.set_permissions(uid, request.json().get("items") or [])
    except DashboardError as error:
        raise _refusal(error) from None
    return done("Folder permissions updated", id=row["id"], title=row["title"])


# --- dashboards ---


def _url(app: App, row: Row) -> str:
    return f"{app.settings.sub_path}/d/{row['uid']}/{slug(row['title'])}"


def _dashboard(app: App, request: Request, uid: str, needed: int, action: str) -> Row:
    row = app.folders.dashboard(uid)
    if not row:
        raise RefusalError(404, "Dashboard not found")
    if app.folders.level(request.user, row["folder_uid"]) < needed:
        raise denied(action)
    return row


def _found(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"], "uid": row["uid"], "title": row["title"],
        "uri": f"db/{slug(row['title'])}", "slug": "", "isStarred": False, "sortMeta": 0,
    }  # fmt: skip


@route("GET", "/api/search")
def search(app: App, request: Request) -> Response:
    """What the user may see, folders first."""
    kind, text = request.argument("type"), request.argument("query").lower()
    tags, inside = set(request.arguments("tag")), request.arguments("folderUIDs")
    uids = request.arguments("dashboardUIDs") or request.arguments("dashboardUID")
    by_uid = {row["uid"]: row for row in app.folders.all()}
    found: list[dict[str, Any]] = []
    if kind != "dash-db" and not tags and not inside:
        found += [
            {
                **_found(row), "url": _folder_url(app, row), "type": "dash-folder", "tags": [],
            }
            for row in by_uid.values()
            if text in row["title"].lower() and (not uids or row["uid"] in uids)
            and app.folders.level(request.user, row["uid"])
        ]  # fmt: skip
    for row in app.folders.dashboards() if kind != "dash-folder" else []:
        own = json.loads(row["data"]).get("tags") or []
        place = by_uid.get(row["folder_uid"])
        if (
            text not in row["title"].lower()
            or not tags <= set(own)
            or (uids and row["uid"] not in uids)
            or (inside and (row["folder_uid"] or "general") not in inside)
            or not app.folders.level(request.user, row["folder_uid"])
        ):  # fmt: skip
            continue
        where = {
            "folderId": place["id"], "folderUid": place["uid"], "folderTitle": place["title"],
            "folderUrl": _folder_url(app, place),
        } if place else {}  # fmt: skip
        found.append(
            {
                **_found(row), "url": _url(app, row), "type": "dash-db", "tags": own, **where,
            }
        )  # fmt: skip
    limit, page = int(request.argument("limit", "1000")), int(request.argument("page", "1"))
    return answer(found[(page - 1) * limit : page * limit])


@route("GET", "/api/dashboards/uid/:uid", "Viewer", "dashboards:read")
def dashboard(app: App, request: Request, uid: str) -> Response:
    row = _dashboard(app, request, uid, VIEW, "dashboards:read")
    level = app.folders.level(request.user, row["folder_uid"])
    place = app.folders.get(row["folder_uid"]) if row["folder_uid"] else None
    provider = next((p for p in app.dashboards.providers if p.name == row["provider"]), None)
    file = ""
    if provider and Path(row["file"]).is_relative_to(provider.path.resolve()):
        file = str(Path(row["file"]).relative_to(provider.path.resolve()))
    meta = {
        "type": "db", "canSave": level >= EDIT and not row["provider"], "canEdit": level >= EDIT,
        "canAdmin": level >= ADMIN, "canStar": True,
        "canDelete": level >= EDIT and not row["provider"],
        "slug": slug(row["title"]), "url": _url(app, row), "expires": "0001-01-01T00:00:00Z",
        "created": row["created"], "updated": row["updated"], "updatedBy": "", "createdBy": "",
        "version": row["version"], "hasAcl": False, "isFolder": False,
        "folderId": place["id"] if place else 0, "folderUid": row["folder_uid"],
        "folderTitle": place["title"] if place else "Dashboards",
        "folderUrl": _folder_url(app, place) if place else "",
        "provisioned": bool(row["provider"]), "provisionedExternalId": file,
    }  # fmt: skip
    return answer({"meta": meta, "dashboard": {**json.loads(row["data"]), "id": row["id"]}})


@route("POST", "/api/dashboards/db", "Viewer", "dashboards:write")
def save_dashboard(app: App, request: Request) -> Response:
    given = request.json()
    data, uid = given.get("dashboard") or {}, str(given.get("folderUid") or "")
    known = app.folders.dashboard(str(data.get("uid") or ""))
    place = known["folder_uid"] if known and "folderUid" not in given else uid
    if uid and not app.folders.get(uid):
        raise RefusalError(400, "folder not found")
    for where in {place, known["folder_uid"] if known else place}:
        if app.folders.level(request.user, where) < EDIT:
            raise denied("dashboards:write" if known else "dashboards:create")
    try:
        row = app.folders.save(data, place, overwrite=bool(given.get("overwrite")))
    except DashboardError as error:
        raise _refusal(error) from None
    return answer(
        {
            "id": row["id"], "uid": row["uid"], "url": _url(app, row), "status": "success",
            "version": row["version"], "slug": slug(row["title"]), "folderUid": row["folder_uid"],
        }
    )  # fmt: skip


@route("DELETE", "/api/dashboards/uid/:uid", "Viewer", "dashboards:delete")
def delete_dashboard(app: App, request: Request, uid: str) -> Response:
    row = _dashboard(app, request, uid, EDIT, "dashboards:delete")
    try:
        app.folders.delete_dashboard(uid)
    except DashboardError as error:
        raise _refusal(error) from None
    return done(f"Dashboard {row['title']} deleted", title=row["title"], uid=uid)
