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


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.yml").write_bytes(b"name: \xff\n")
    assert "shop.yml: is not UTF-8" in read(tmp_path)[1][0]


def test_without_a_folder_there_are_no_parts(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere") == ([], [])
