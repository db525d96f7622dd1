"""Data sources and dashboards from files, with what Grafana does when a file is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .folders import DashboardError, Folders, slug
from .log import Logger
from .settings import expand
from .sources import SourceError, Sources

LOG = Logger("provisioning")
SOURCES = Logger("provisioning.datasources")
DASHBOARDS = Logger("provisioning.dashboard")


class ProvisioningError(Exception):
    """Files that are not taken: Grafana does not start with them, and a reload answers 500."""


def interpolated(value: Any) -> Any:
    """Every string of a file with `$__file{}`, `$__env{}`, `${X}` and `$X` filled in; `$$` is `$`."""
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        parts = [expand(part) for part in value.split("$$")]
    except OSError as error:
        raise ProvisioningError(f"failed to interpolate value: {error}") from None
    plain = re.compile(r"\$(\w+|\{\w*\})")
    return "$".join(
        plain.sub(lambda m: os.environ.get(m[1].strip("{}"), ""), part) for part in parts
    )


def files(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """The YAML files of a folder; none, and an error in the log, where it cannot be read."""
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError as error:
        LOG.error("can't read provisioning files from directory", path=folder, error=error)
        return []
    found = []
    for path in names:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ProvisioningError(
                f"could not parse provisioning config file: {path.name} error: {reason}"
            ) from None
        if content is not None and not isinstance(content, dict):
            raise ProvisioningError(
                f"could not parse provisioning config file: {path.name}: no mapping"
            )
        found.append((path.name, content or {}))
    return found


# --- data sources ---


def provision_sources(folder: Path, sources: Sources) -> None:
    """Make the data sources what the files say; ProvisioningError where Grafana ends."""
    configs = [interpolated(content) for _, content in files(folder)]
    declared = [
        (item, bool(config.get("prune")))
        for config in configs
        for item in config.get("datasources") or []
    ]
    if sum(bool(item.get("isDefault")) for item, _ in declared) > 1:
        raise ProvisioningError(
            "datasource.yaml config is invalid. "
            "Only one datasource per organization can be marked as default"
        )
    names = {str(item.get("name")) for item, _ in declared}
    gone = [
        str(item.get("name"))
        for config in configs
        for item in config.get("deleteDatasources") or []
    ]
    stale = [
        row["name"] for row in sources.all() if row["is_prunable"] and row["name"] not in names
    ]
    for name in [*stale, *gone]:
        if sources.by("name", name):
            sources.delete(name)
            SOURCES.info("deleted datasource based on configuration", name=name)
    for item, prune in declared:
        known = sources.by("name", str(item.get("name")))
        try:
            saved = sources.save(item, not item.get("editable"), prune, known)
        except SourceError as error:
            raise ProvisioningError(f"Datasource provisioning error: {error}") from None
        if not known:
            SOURCES.info(
                "inserting datasource from configuration", name=saved["name"], uid=saved["uid"]
            )


# --- dashboards ---


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
    allow_updates: bool
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
                    "'folder' and 'folderUID' should be empty using 'foldersFromFilesStructure' option"
                )
            found[name] = Provider(
                name, Path(path), str(item.get("folder") or ""), str(item.get("folderUid") or ""), structured,
                not item.get("disableDeletion"), float(item.get("updateIntervalSeconds") or 10),
                bool(item.get("allowUiUpdates")),
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
                if not provider.path.exists():
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
            with self._lock:
                for provider in self.providers:
                    if provider.path.exists() and not provider.read_only:
                        self._walk(provider)

    def _walk(self, provider: Provider) -> None:
        found = {
            str(path): path
            for path in sorted(provider.path.rglob("*.json"))
            if not any(part.startswith(".") for part in path.relative_to(provider.path).parts[:-1])
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
        title = (
            path.parent.name
            if provider.structured and path.parent != provider.path
            else provider.folder
        )
        try:
            uid = self._folder(title, "" if provider.structured else provider.folder_uid)
            saved = self.folders.save(data, uid, True, provider.name, file, checksum)
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
