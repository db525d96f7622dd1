"""A manifest says what was saved, or that it cannot be believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookout.backup.manifest import NAME, Manifest, ManifestError, read
from lookout.backup.parts import Part, Piece, Postgresql, Prometheus, Sqlite

PATHS = st.from_regex(r"(/[a-z0-9._-]*[a-z0-9])+", fullmatch=True).map(Path)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
SQLITE = st.builds(Sqlite, PATHS, WORDS, st.tuples(WORDS))
POSTGRESQL = st.builds(Postgresql, PATHS, PATHS, st.integers(1, 65535))
PROMETHEUS = st.builds(Prometheus, WORDS, PATHS, WORDS, st.none() | PATHS)
PIECES = st.builds(Piece, WORDS, st.tuples(PATHS), st.tuples(WORDS), st.tuples(WORDS))
PARTS = st.builds(
    Part,
    name=st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True),
    paths=st.lists(PATHS, min_size=1, max_size=3).map(tuple),
    sqlite=st.lists(SQLITE, max_size=2).map(tuple),
    postgresql=st.none() | POSTGRESQL,
    prometheus=st.none() | PROMETHEUS,
    check=st.lists(WORDS, max_size=3).map(tuple),
    timeout_seconds=st.floats(1, 86400),
    pieces=st.lists(PIECES, max_size=2).map(tuple),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(-1e9, 1e9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)
FACTS = st.dictionaries(WORDS, st.dictionaries(WORDS, JSON, max_size=3), max_size=3)
MANIFESTS = st.builds(Manifest, PARTS, WORDS, st.floats(0, 4e9), FACTS, WORDS)
# A busy disk is no mistake of what is read.
each_in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@each_in_one_folder
@given(MANIFESTS)
def test_it_is_read_back_as_it_was(tmp_path: Path, manifest: Manifest) -> None:
    manifest.write(tmp_path)
    assert read(tmp_path) == manifest
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


@each_in_one_folder
@given(MANIFESTS, st.data())
def test_a_torn_one_is_not_believed(
    tmp_path: Path, manifest: Manifest, data: st.DataObject
) -> None:
    manifest.write(tmp_path)
    whole = (tmp_path / NAME).read_bytes().rstrip()
    (tmp_path / NAME).write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ManifestError):
        read(tmp_path)


@each_in_one_folder
@given(st.binary(max_size=300))
def test_whatever_is_there_nothing_else_is_raised(tmp_path: Path, data: bytes) -> None:
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(ManifestError):
        read(tmp_path)


def test_none_at_all_and_one_of_another_format_are_not_believed(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read(tmp_path)
    part = Part("shop", (Path("/etc/shop"),))
    Manifest(part, "app1", 1.0, {}).write(tmp_path)
    raw = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**raw, "format": 2}))
    with pytest.raises(ManifestError, match="format 2, and this program reads 1"):
        read(tmp_path)


@pytest.mark.parametrize("wrong", [{"part": {"name": "x"}}, {"facts": []}, {"run": "x"}])
def test_what_lacks_its_sense_is_not_believed(tmp_path: Path, wrong: dict[str, object]) -> None:
    Manifest(Part("shop", (Path("/etc/shop"),)), "app1", 1.0, {}).write(tmp_path)
    raw = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**raw, **wrong}))
    with pytest.raises(ManifestError):
        read(tmp_path)


@pytest.mark.parametrize(
    ("link", "believed"),
    [
        ("files/etc/shop", True),
        ("files/etc/shop/current", True),
        ("files/etc", False),
        ("files", False),
        ("prometheus/wal", False),
        ("sqlite/shop.db", False),
        (NAME, False),
    ],
)
def test_a_link_that_leads_out_of_the_copy_is_not_followed(
    tmp_path: Path, link: str, believed: bool
) -> None:
    stage, outside = tmp_path / "stage", tmp_path / "outside"
    stage.mkdir()
    outside.mkdir()
    Manifest(Part("shop", paths=(Path("/etc/shop"),)), "app1", 1.0, {}).write(stage)
    if link == NAME:
        (stage / NAME).rename(outside / NAME)
    (stage / link).parent.mkdir(parents=True, exist_ok=True)
    (stage / link).symlink_to(outside / link if link == NAME else outside)
    if believed:
        assert read(stage).host == "app1"
        return
    with pytest.raises(ManifestError, match=f"{link} is a link"):
        read(stage)
