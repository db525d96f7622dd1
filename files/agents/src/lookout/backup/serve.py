"""`python -m lookout.backup.serve`: the one command that the key of a host may run at the store.

sshd starts it for whatever the host asked for (`command=` in authorized_keys), and says in
SSH_ORIGINAL_COMMAND what that was. Two things are answered: `serve HOST`, which restic says, with
one repository that can only be added to, and `status HOST`. Of a repository that the key may only
read, nothing can be written at all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import syslog
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookout.backup import store_options
from lookout.backup.store_options import StoreOptions
from lookout.kit import config

REFUSED = 1


class RefusedError(Exception):
    """Why the request is refused, in words for who asked."""


@dataclass(frozen=True)
class Key:
    """What the key of the caller is good for."""

    # Whose backup it may add to and read; empty: nobody's
    host: str
    # Whose backups it may read
    reads: tuple[str, ...] = ()


def requested(asked: str, key: Key) -> tuple[str, str]:
    """The verb and the host of a request that the key is good for. Raises RefusedError."""
    words = asked.split()
    verb, host = words if len(words) == len(("verb", "host")) else ("", "")
    if verb not in ("serve", "status"):
        raise RefusedError("only `serve HOST` and `status HOST` are answered")
    if host not in (key.host, *key.reads) or not host:
        raise RefusedError(f"this key is for {' and '.join(filter(None, (key.host, *key.reads)))}")
    return verb, host


def status(options: StoreOptions, host: str) -> dict[str, bool | int | str]:
    """Whether the destination is there, and what room it has."""
    wrong = store_options.trouble(options)
    free = size = 0
    if not wrong:
        found = store_options.room(options)
        free, size = found.free, found.size
    return {
        "mounted": not wrong,
        "free_bytes": free,
        "size_bytes": size,
        "repository": not wrong and (options.path / host / "config").is_file(),
        "trouble": wrong,
    }


def command(folder: Path, *, may_write: bool) -> tuple[list[str], dict[str, str]]:
    """rclone's argument list for one repository, and what its environment has to say."""
    # Allocating a file on a full disk leaves an empty one, which append-only then never replaces.
    argv = ["rclone", "serve", "restic", "--stdio", "--append-only", "--local-no-preallocate"]
    environment = {"PATH": "/usr/bin:/bin", "RCLONE_CONFIG": "/dev/null", "HOME": "/nonexistent"}
    if may_write:
        return [*argv, str(folder)], environment
    # A union of what may only be read. It needs two folders: one below the other adds nothing.
    environment["RCLONE_UNION_UPSTREAMS"] = f'"{folder}:ro" "{folder}/locks:ro"'
    return [*argv, ":union:"], environment


def _seal_keys(folder: Path) -> None:
    """No host adds keys to its repository.

    To "append" a score of false ones is enough to lock everybody out: restic tries twenty, and of
    each it takes as much memory and time as the key says.
    """
    with contextlib.suppress(FileNotFoundError):
        (folder / "keys").chmod(0o500)


def serve(options: StoreOptions, key: Key, asked: str) -> int:
    """Answer one request. Does not return when it hands over to rclone."""
    verb, host = requested(asked, key)
    if verb == "status":
        print(json.dumps(status(options, host)))
        return 0
    wrong = store_options.trouble(options)
    if wrong:
        raise RefusedError(wrong)
    folder = options.path / host
    if not (folder / "config").is_file():
        raise RefusedError(f"there is no repository of {host}: site.yml makes it")
    may_write = host == key.host
    if may_write:
        _seal_keys(folder)
    argv, environment = command(folder, may_write=may_write)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, environment)  # noqa: S606
    raise AssertionError("a process that was replaced goes on")


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """The exit status. What is refused is said to the caller and to the store's journal."""
    parser = argparse.ArgumentParser(description="Answer one request of a host for its backup.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--host", default="", help="whose repository may be added to")
    parser.add_argument("--reads", action="append", default=[], help="whose may be read")
    arguments = parser.parse_args(argv)
    key = Key(arguments.host, tuple(arguments.reads))
    asked = environment.get("SSH_ORIGINAL_COMMAND", "")
    try:
        return serve(config.load(StoreOptions, arguments.config), key, asked)
    except (RefusedError, OSError) as error:
        reason = str(error)
    except config.ConfigError as error:
        reason = f"the store's configuration is wrong: {error}"
    syslog.openlog("lookout-backup_store")
    syslog.syslog(syslog.LOG_WARNING, f"refused {key.host or 'a reader'} {asked[:200]!r}: {reason}")
    print(f"the store refuses: {reason}", file=sys.stderr)
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
