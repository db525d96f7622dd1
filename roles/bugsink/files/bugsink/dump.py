"""Copy Bugsink's SQLite database as it is at one moment, or prove that such a copy is whole.

dump.py DATABASE FOLDER: FOLDER/db.sqlite3 is the copy, in place at once.
dump.py --check FOLDER: whether the copy in FOLDER can be read to its end.
"""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

NAME = "db.sqlite3"
LOCK_SECONDS = 60


def dump(database: Path, folder: Path) -> None:
    """Have SQLite write a copy under a temporary name, then rename it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = folder / f".{NAME}.new"
    fresh.unlink(missing_ok=True)
    address = f"file:{database}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS)) as source:
        source.execute("VACUUM INTO ?", (str(fresh),))
    with fresh.open("rb") as written:
        os.fsync(written.fileno())
    fresh.replace(folder / NAME)


def check(folder: Path) -> None:
    """Read every page and index, and look for the projects."""
    address = f"file:{folder / NAME}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as copy:
        said = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if said != "ok":
            raise sqlite3.DatabaseError(said)
        copy.execute("SELECT count(*) FROM projects_project").fetchone()


def main() -> int:
    """Nobody but the owner reads a copy."""
    os.umask(0o077)
    try:
        if sys.argv[1] == "--check":
            check(Path(sys.argv[2]))
        else:
            dump(Path(sys.argv[1]), Path(sys.argv[2]))
    except (sqlite3.Error, OSError) as error:
        print(f"dump.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
