"""Folders, dashboards, and who may see or change them."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from .accounts import Identity
from .database import Database, Row, now

VIEW, EDIT, ADMIN = 1, 2, 4
NAMES = {VIEW: "View", EDIT: "Edit", ADMIN: "Admin"}
UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")


class DashboardError(Exception):
    """A dashboard or folder that is not taken: message, status of the answer, its short name."""

    def __init__(self, message: str, code: int, status: str = "") -> None:
        super().__init__(message)
        self.code, self.status = code, status


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


class Folders:
    """All folders and dashboards of the one organisation."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # --- folders ---

    def all(self) -> list[Row]:
        return self.database.run("SELECT * FROM folder ORDER BY title")

    def get(self, uid: str) -> Row | None:
        return self.database.one("SELECT * FROM folder WHERE uid = ?", uid)

    def create(self, title: str, uid: str = "", creator: int = 0) -> Row:
        """A new folder: Viewers see it, Editors edit in it, its creator may do all."""
        if not title.strip():
            raise DashboardError("folder title cannot be empty", 400)
        uid = uid or secrets.token_hex(7)
        if not UID.fullmatch(uid):
            raise DashboardError("uid contains illegal characters", 400)
        if self.get(uid):
            raise DashboardError(
                "the folder has been changed by someone else", 412, "version-mismatch"
            )
        self.database.insert("folder", uid=uid, title=title, created=now(), updated=now())
        self.allow(uid, "Viewer", 0, VIEW)
        self.allow(uid, "Editor", 0, EDIT)
        if creator:
            self.allow(uid, "", creator, ADMIN)
        made = self.get(uid)
        assert made is not None
        return made

    def delete(self, uid: str) -> None:
        for table, key in (
            ("dashboard", "folder_uid"),
            ("permission", "folder_uid"),
            ("folder", "uid"),
        ):
            self.database.delete(table, **{key: uid})

    # --- permissions ---

    def allow(self, uid: str, role: str, user_id: int, permission: int) -> None:
        self.database.insert(
            "permission", folder_uid=uid, role=role, user_id=user_id, permission=permission
        )

    def permissions(self, uid: str) -> list[Row]:
        return self.database.run("SELECT * FROM permission WHERE folder_uid = ?", uid)

    def set_permissions(self, uid: str, items: list[dict[str, Any]]) -> None:
        """Replace them all; what is not named has no access (but Admins, who keep theirs)."""
        for item in items:
            if item.get("permission") not in NAMES or (item.get("role") or "Viewer") not in (
                "Viewer",
                "Editor",
            ):
                raise DashboardError("invalid permission", 400)
        self.database.delete("permission", folder_uid=uid)
        for item in items:
            self.allow(uid, item.get("role") or "", item.get("userId") or 0, item["permission"])

    def level(self, who: Identity, uid: str) -> int:
        """What somebody may do in a folder; in the root folder by their role alone."""
        if who.has("Admin"):
            return ADMIN
        if not uid:
            return EDIT if who.has("Editor") else VIEW if who.has("Viewer") else 0
        return max(
            (
                row["permission"]
                for row in self.permissions(uid)
                if row["user_id"] == who.id or (row["role"] and who.has(row["role"]))
            ),
            default=0,
        )

    # --- dashboards ---

    def dashboards(self) -> list[Row]:
        return self.database.run("SELECT * FROM dashboard ORDER BY title")

    def dashboard(self, uid: str) -> Row | None:
        return self.database.one("SELECT * FROM dashboard WHERE uid = ?", uid)

    def save(
        self, data: dict[str, Any], folder_uid: str, overwrite: bool, provider: str = "", file: str = "",
        checksum: str = "",
    ) -> Row:  # fmt: skip
        """Create or update; only its provider changes a provisioned one."""
        title = str(data.get("title") or "").strip()
        if not title:
            raise DashboardError("Dashboard title cannot be empty", 400, "empty-name")
        uid = str(data.get("uid") or "") or secrets.token_hex(7)
        if not UID.fullmatch(uid):
            long = len(uid) > 40
            raise DashboardError(
                "uid too long, max 40 characters" if long else "uid contains illegal characters",
                400,
            )
        known = self.dashboard(uid)
        if known and known["provider"] and not provider:
            raise DashboardError("Cannot save provisioned dashboard", 400)
        if known and not overwrite and data.get("version") != known["version"]:
            raise DashboardError(
                "The dashboard has been changed by someone else", 412, "version-mismatch"
            )
        version = known["version"] + 1 if known else 1
        data = {**data, "uid": uid, "version": version}
        data.pop("id", None)
        values: dict[str, object] = {
            "title": title, "folder_uid": folder_uid, "data": json.dumps(data), "version": version,
            "updated": now(), "provider": provider, "file": file, "checksum": checksum,
        }  # fmt: skip
        if known:
            self.database.update("dashboard", "uid", uid, **values)
        else:
            self.database.insert("dashboard", uid=uid, created=now(), **values)
        saved = self.dashboard(uid)
        assert saved is not None
        return saved

    def delete_dashboard(self, uid: str) -> Row:
        known = self.dashboard(uid)
        if not known:
            raise DashboardError("Dashboard not found", 404)
        if known["provider"]:
            raise DashboardError("provisioned dashboard cannot be deleted", 400)
        self.database.delete("dashboard", uid=uid)
        return known
