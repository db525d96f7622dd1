"""The short lists hold what is named, what that needs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import package_lists

LIST = b"""Package: nginx
Section: httpd
Depends: nginx-common (>= 1), libssl3 | libssl, web-scripts:any
Recommends: brotli
Description: a server
 of pages

Package: nginx-common
Section: httpd
Pre-Depends: shell

Package: dash
Section: shells
Provides: shell (= 1)
Recommends: manual

Package: libssl3
Section: libs

Package: brotli
Section: utils

Package: manual
Section: utils

Package: init
Section: admin
Priority: important

Package: chess
Section: games

Package: sky
Section: utils
"""


def kept(short: Path) -> list[bytes]:
    text = (short / "a_main_Packages").read_bytes()
    return [package_lists.name_of(entry) for entry in text.split(b"\n\n")]


def test_what_is_named_is_there_with_all_that_it_needs(tmp_path: Path) -> None:
    lists, short = tmp_path / "lists", tmp_path / "short"
    lists.mkdir()
    (lists / "a_main_Packages").write_bytes(LIST)
    (lists / "a_main_i18n_Translation-en").write_bytes(b"long")
    (lists / "a_InRelease").write_bytes(b"signed")
    for _ in range(2):  # the second time over what is there
        package_lists.shorten(lists, short, {b"nginx", b"unknown"})
    wanted = [b"nginx", b"nginx-common", b"dash", b"libssl3", b"brotli", b"manual", b"init"]
    assert kept(short) == wanted
    assert (
        b"a server\n of pages\n\nPackage: nginx-common" in (short / "a_main_Packages").read_bytes()
    )
    assert (short / "a_main_i18n_Translation-en").read_bytes() == b""
    assert (short / "a_InRelease").read_bytes() == b"signed"


def test_names_are_taken_from_the_repository(tmp_path: Path) -> None:
    tasks = tmp_path / "roles/web/tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text("- apt: {name: [nginx, 'libstdc++6', python3.11]}\n", "ascii")
    (tasks / "photo.png").write_bytes(b"chess")
    assert {b"nginx", b"libstdc++6", b"python3.11"} <= package_lists.words(tmp_path)
    assert b"chess" not in package_lists.words(tmp_path)
    then = (tasks / "main.yml").stat().st_mtime
    assert package_lists.changed_since(tmp_path, then - 1)
    assert not package_lists.changed_since(tmp_path, then + 1)
