"""Dashboards from files: the providers, walked at the start, at a reload and every few seconds."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .folders import DashboardError, Folders, slug
from .log import Logger
from .provisioning import ProvisioningError, files, interpolated

DASHBOARDS = Logger("provisioning.dashboard")


@dataclass
class Provider:
    """One entry of provisioning/dashboards/*.yaml."""

    name: str
    path: Path
    folder: str
    folder_uid: str
    structured: bool
    deletion: bool
    interval: float
    read_only: bool = False


def providers(folder: Path) -> list[Provider]:
    """The providers of all files, checked; ProvisioningError where Grafana ends."""
    found: dict[str, Provider] = {}
    for _, content in files(folder):
        for item in interpolated(content.get("providers") or []):
            name, options = str(item.get("name") or ""), item.get("options") or {}
            path = options.get("path", options.get("folder"))
            structured = bool(options.get("foldersFromFilesStructure"))
            if name in found:
                raise ProvisioningError(f"dashboard name {name!r} is not unique")
            if item.get("type", "file") != "file":
                raise ProvisioningError(f"type {item['type']} is not supported")
            if not isinstance(path, str):
                raise ProvisioningError(
                    f"failed to load dashboards, path param is not a string: {name}"
                )
            if structured and (item.get("folder") or item.get("folderUid")):
                raise ProvisioningError(
                    "'folder' and 'folderUID' should be empty using "
                    "'foldersFromFilesStructure' option"
                )
            found[name] = Provider(
                name, Path(path), str(item.get("folder") or ""), str(item.get("folderUid") or ""),
                structured, not item.get("disableDeletion"),
                float(item.get("updateIntervalSeconds") or 10),
            )  # fmt: skip
    return list(found.values())


class Dashboards:
    """The providers, walked at the start, at a reload and every few seconds."""

    def __init__(self, folder: Path, folders: Folders) -> None:
        self.folder, self.folders = folder, folders
        self.providers: list[Provider] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def load(self) -> None:
        with self._lock:
            self.providers = providers(self.folder)
            names = {provider.name for provider in self.providers}
            for row in self.folders.dashboards():
                if row["provider"] and row["provider"] not in names:
                    self.folders.database.delete("dashboard", uid=row["uid"])
            for provider in self.providers:
                if not os.path.exists(provider.path):
                    DASHBOARDS.error(
                        "Cannot read directory", path=provider.path, name=provider.name
                    )
                    continue
                self._walk(provider)
            self._warn_of_duplicates()

    def poll(self) -> threading.Thread:
        thread = threading.Thread(target=self._poll, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stop.set()

    def _poll(self) -> None:
        while not self._stop.wait(min([p.interval for p in self.providers], default=10.0)):
            try:
                self._poll_once()
            except Exception as error:
                # A folder or database that is gone for a moment must not end the looking.
                DASHBOARDS.error("failed to search for dashboards", error=error)

    def _poll_once(self) -> None:
        with self._lock:
            for provider in self.providers:
                if os.path.exists(provider.path) and not provider.read_only:
                    self._walk(provider)

    def _walk(self, provider: Provider) -> None:
        # As in Grafana a file's name is the one behind all symbolic links.
        top = provider.path.resolve()
        found = {
            str(path): path
            for path in sorted(top.rglob("*.json"))
            if not any(part.startswith(".") for part in path.relative_to(top).parts[:-1])
        }
        known = {
            row["file"]: row
            for row in self.folders.dashboards()
            if row["provider"] == provider.name
        }
        for file, row in known.items():
            if file not in found:
                if provider.deletion:
                    DASHBOARDS.info(
                        "deleting provisioned dashboard, missing on disk", uid=row["uid"]
                    )
                    self.folders.database.delete("dashboard", uid=row["uid"])
                else:
                    self.folders.database.update(
                        "dashboard", "uid", row["uid"], provider="", file=""
                    )
        for file, path in found.items():
            self._save(provider, file, path, known.get(file))

    def _save(
        self, provider: Provider, file: str, path: Path, known: dict[str, Any] | None
    ) -> None:
        try:
            text = path.read_text(encoding="utf-8")
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ValueError("no JSON object")
        except (OSError, ValueError) as error:
            DASHBOARDS.error("failed to load dashboard from ", file=file, error=error)
            return
        checksum = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        if known and known["checksum"] == checksum:
            return
        own = provider.structured and path.parent != provider.path.resolve()
        title = path.parent.name if own else provider.folder
        try:
            uid = self._folder(title, "" if provider.structured else provider.folder_uid)
            saved = self.folders.save(
                data, uid, overwrite=True, provider=provider.name, file=file, checksum=checksum
            )
            if known and known["uid"] != saved["uid"]:
                self.folders.database.delete("dashboard", uid=known["uid"])
        except DashboardError as error:
            DASHBOARDS.error("failed to save dashboard", file=file, error=error)

    def _folder(self, title: str, uid: str) -> str:
        if not title:
            return ""
        for row in self.folders.all():
            if row["uid"] == uid or (not uid and slug(row["title"]) == slug(title)):
                return str(row["uid"])
        return str(self.folders.create(title, uid)["uid"])

    def _warn_of_duplicates(self) -> None:
        """Two files of one uid or title: the later stays, and their providers write no more."""
        uids: Counter[str] = Counter()
        titles: Counter[tuple[str, str]] = Counter()
        owners: dict[object, set[str]] = {}
        for provider in self.providers:
            for path in provider.path.rglob("*.json"):
                try:
                    data = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    continue
                if isinstance(data, dict):
                    place = path.parent.name if provider.structured else provider.folder
                    keys = (str(data.get("uid") or ""), (place, str(data.get("title"))))
                    uids[keys[0]] += bool(keys[0])
                    titles[keys[1]] += 1
                    for key in keys:
                        owners.setdefault(key, set()).add(provider.name)
        twice = [uid for uid, times in uids.items() if times > 1]
        same = [key for key, times in titles.items() if times > 1]
        for uid in twice:
            DASHBOARDS.warn(
                "the same UID is used more than once", uid=uid, providers=sorted(owners[uid])
            )
        for key in same:
            DASHBOARDS.warn("dashboard title is not unique in folder", title=key[1], folder=key[0])
        for provider in self.providers:
            provider.read_only = any(provider.name in owners[key] for key in [*twice, *same])
            if provider.read_only:
                DASHBOARDS.warn(
                    "dashboards provisioning provider has no database write permissions "
                    "because of duplicates",
                    provider=provider.name,
                )
