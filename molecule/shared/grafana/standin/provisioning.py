"""Files of provisioning, and data sources from them, with what Grafana does with a wrong one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from .ini import expand
from .log import Logger
from .sources import SourceError, Sources

LOG = Logger("provisioning")
SOURCES = Logger("provisioning.datasources")


class ProvisioningError(Exception):
    """Files that are not taken: Grafana does not start with them, and a reload answers 500."""


def interpolated(value: Any) -> Any:
    """All strings with `$__file{}`, `$__env{}`, `${X}` and `$X` filled in; `$$` is a `$`."""
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
