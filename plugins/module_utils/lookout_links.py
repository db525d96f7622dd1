"""The two links of a configuration tree: the live one, and the one the service took last."""

from __future__ import annotations

import os
from pathlib import Path


def loaded_link(live: Path) -> Path:
    """The link that names the tree which the service loaded last."""
    return live.with_name(f"{live.name}.loaded")


def point(link: Path, to: str) -> None:
    """Make `link` point at `to` in one rename, so that no reader ever misses it."""
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(to)
    os.replace(fresh, link)
    fsync_folder(link.parent)


def fsync_folder(folder: Path) -> None:
    """Make what was created or renamed in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
