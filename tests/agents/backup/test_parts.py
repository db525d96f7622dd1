"""Parts are read one by one: a bad file is named, and the others count."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.backup.parts import read


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def test_parts_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "shop.yml", "name: shop\npaths: [/etc/shop]\n")
    write(tmp_path, "app.yml", "name: app\npaths: [/etc/app]\ntimeout_seconds: 60\n")
    write(tmp_path, "notes.txt", "not a part")
    parts, problems = read(tmp_path)
    assert ([part.name for part in parts], problems) == (["app", "shop"], [])
    assert parts[0].timeout_seconds == 60


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: shop\n", "saves nothing"),
        ("name: shop\npaths: [etc/shop]\n", "must be an absolute path"),
        ("name: shop\npaths: [/]\n", "has to be an absolute path"),
        ("name: shop\npaths: [/etc/../root]\n", "has to be an absolute path"),
        ("name: other\npaths: [/etc/shop]\n", "other is another name than the file's"),
        ("name: Shop\npaths: [/etc/shop]\n", "begin with a letter"),
        ("name: shop\npaths: [/etc/shop]\nverify: [true]\n", "verify is not known here"),
        ("name: shop\npaths: [/etc/shop]\ntimeout_seconds: 0\n", "must be at least 1"),
        ("name: shop\npaths: [\n", "shop.yml: line 3"),
        ("", "name"),
        ("- a list\n", "must be a mapping"),
    ],
)
def test_a_bad_file_is_named_and_the_others_are_read(tmp_path: Path, text: str, why: str) -> None:
    write(tmp_path, "app.yml", "name: app\npaths: [/etc/app]\n")
    write(tmp_path, "shop.yml", text)
    parts, problems = read(tmp_path)
    assert [part.name for part in parts] == ["app"]
    assert any(why in problem for problem in problems), problems
    assert all("shop.yml" in problem for problem in problems)


def test_pieces_of_several_roles_are_one_part(tmp_path: Path) -> None:
    web = "piece: web\npaths: [/etc/web]\nunits: [web.service]\ncheck: [web, -t]\n"
    write(tmp_path, "etc-web.yml", f"name: etc\n{web}")
    write(tmp_path, "etc-dns.yml", "name: etc\npiece: dns\npaths: [/etc/dns, /etc/web]\n")
    write(tmp_path, "etc-bad.yml", "name: etc\npiece: bad\npaths: [etc]\n")
    (part,), (problem,) = read(tmp_path)
    assert (part.name, part.piece, part.units) == ("etc", "", ("web.service",))
    assert part.paths == (Path("/etc/dns"), Path("/etc/web"))
    assert [one.name for one in part.pieces] == ["dns", "web"]
    assert part.checks == [("web", "-t")]
    assert problem.startswith("etc-bad.yml: ")


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("etc-web.yml", "piece: dns\npaths: [/a]\n", "etc-dns is another name than the file's"),
        ("etc-web.yml", "piece: we-b\npaths: [/a]\n", "be of a-z"),
        ("etc-web.yml", "piece: web\npaths: [/a]\nexclude: [b]\n", "paths, units and check"),
        ("etc.yml", "paths: [/a]\n", "etc is a whole part, which has no pieces"),
    ],
)
def test_a_piece_that_is_none_is_named(tmp_path: Path, file: str, text: str, why: str) -> None:
    write(tmp_path, "etc-all.yml", "name: etc\npiece: all\npaths: [/etc/all]\n")
    write(tmp_path, file, f"name: etc\n{text}")
    (part,), (problem,) = read(tmp_path)
    assert part.paths == (Path("/etc/all"),)
    assert problem.startswith(f"{file}: ")
    assert why in problem


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.yml").write_bytes(b"name: \xff\n")
    assert "shop.yml: is not UTF-8" in read(tmp_path)[1][0]


def test_without_a_folder_there_are_no_parts(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere") == ([], [])
