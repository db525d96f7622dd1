"""Live files and folders that give way to others, and come back if those are not good.

What gives way goes into the folder `aside` under its own path, or stays beside its place under
another name where `aside` is on another filesystem. Each step is one rename, so that whoever is
killed in between finds out from the names what is left to do.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from lookout.backup.sources import SourceError


def _fresh(live: Path, aside: Path) -> tuple[Path, Path]:
    """Where the new one is made: within `aside`, or beside its place on another filesystem.

    The folder of what is live may be a service's. Whoever got hold of that puts links in the way
    of root, who is about to write there and to give away what was written.
    """
    name = f".{live.name}.lookout-new"
    return _within(live, aside).with_name(name), live.with_name(name)


def _beside(live: Path, aside: Path) -> Path:
    """Where the former one is kept if it cannot be moved to `aside`; of another `aside` another."""
    of = sha256(os.fsencode(aside)).hexdigest()[:8]
    return live.with_name(f".{live.name}.lookout-kept-{of}")


def _within(live: Path, aside: Path) -> Path:
    return aside / live.relative_to("/")


def _nothing(live: Path, aside: Path) -> Path:
    """A file that says: there was nothing."""
    within = _within(live, aside)
    return within.with_name(f".{within.name}.lookout-nothing")


def _kept(live: Path, aside: Path) -> Path | None:
    """Where the former one is, if it has given way already."""
    places = (_within(live, aside), _beside(live, aside))
    return next((place for place in places if os.path.lexists(place)), None)


def delete(path: Path) -> None:
    """Delete a file, a link, or a folder with all that is in it; none is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replace(live: Path, aside: Path, make: Callable[[Path], None]) -> None:
    """Have `make` write what is to be at `live`, keep what was there, and put it in its place."""
    within, beside = _fresh(live, aside)
    for left in (within, beside):
        delete(left)
    within.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    live.parent.mkdir(parents=True, exist_ok=True)
    fresh = within if _can_move(within, beside) else beside
    make(fresh)
    # A rename must not get to disk before its data.
    os.sync()
    keep(live, aside)
    # Of a former try
    delete(live)
    fresh.rename(live)


def _can_move(one: Path, other: Path) -> bool:
    """Whether one place can be renamed to the other, which the same device does not promise."""
    one.touch(mode=0o600)
    try:
        one.rename(other)
    except OSError as error:
        one.unlink()
        if error.errno != errno.EXDEV:
            raise
        return False
    other.unlink()
    return True


def keep(live: Path, aside: Path) -> None:
    """Move what is at `live` out of the way, unless that was done before."""
    nothing = _nothing(live, aside)
    if _kept(live, aside) or nothing.exists():
        return
    nothing.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.path.lexists(live):
        nothing.touch(mode=0o600)
        return
    try:
        live.rename(_within(live, aside))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise SourceError(f"{live} is a mount point: it cannot be replaced whole") from error
        if error.errno != errno.EXDEV:
            raise
        live.rename(_beside(live, aside))


def give_back(live: Path, aside: Path) -> None:
    """Put back what was at `live`; nothing to do if it has not given way."""
    for place in _fresh(live, aside):
        delete(place)
    kept, nothing = _kept(live, aside), _nothing(live, aside)
    if kept:
        delete(live)
        kept.rename(live)
    elif nothing.exists():
        delete(live)
        nothing.unlink()


def forget(live: Path, aside: Path) -> None:
    """Delete what was kept beside `live`."""
    delete(_beside(live, aside))
