"""Secrets of a service, looked for wherever others could see them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hosts import put
from testinfra.host import Host

FILE = "/root/canaries"
_SEEN = f"grep -aFlf {FILE}"


def assert_nobody_sees(
    host: Host, secrets: Sequence[str], config: str, places: str, folder: Path
) -> None:
    """Neither on a command line, nor in a log, nor in a file that everybody may read.

    `config` has to have nearly all of them, or this would prove nothing; `places` are looked
    through, and `folder` is one of the caller's own.
    """
    file = folder / Path(FILE).name
    file.write_text("\n".join(secrets) + "\n", encoding="utf-8")
    put(host, file)
    host.check_output(f"chmod 600 {FILE}")
    assert host.run(f"cat /proc/[0-9]*/cmdline | {_SEEN}").stdout == ""
    assert host.run(f"journalctl --output cat | {_SEEN}").stdout == ""
    assert host.run(f"grep -raFlf {FILE} /var/log").stdout == ""
    open_files = f"find {places} -xdev -type f -perm -o+r -size -20M"
    assert host.run(f"{open_files} -exec {_SEEN} {{}} +").stdout == ""
    # One may stay on the control node, as the seed of others.
    assert len(host.run(f"{_SEEN} -r {config}/").stdout.splitlines()) >= len(secrets) - 1
    assert host.run(f"runuser -u nobody -- ls {config}/secrets").rc != 0
    host.check_output(f"rm {FILE}")
