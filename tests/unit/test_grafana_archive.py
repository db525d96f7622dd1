"""The signed apt archive of the tests: what apt reads is written right, and read right."""

from __future__ import annotations

import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from grafana import archive, repository

CONTROL = """Package: grafana
Version: {version}
Architecture: {architecture}
Maintainer: nobody <nobody@localhost>
Description: a test
 with a second line
"""


def deb(folder: Path, version: str, architecture: str = "all") -> Path:
    tree = folder / f"tree-{version}-{architecture}"
    (tree / "DEBIAN").mkdir(parents=True)
    text = CONTROL.format(version=version, architecture=architecture)
    (tree / "DEBIAN/control").write_text(text, encoding="ascii")
    target = folder / f"{version}-{architecture}.deb"
    archive.command("dpkg-deb", "--build", "--root-owner-group", tree, target)
    return target


def test_stanzas_keep_lines_that_go_on() -> None:
    found = archive.stanzas("Package: a\nDescription: one\n two\n .\n three\n\n\nPackage: b\n")
    assert [entry["Package"] for entry in found] == ["a", "b"]
    assert found[0]["Description"] == "one\n two\n .\n three"


def test_newest_is_dpkgs_newest() -> None:
    versions = ["9.5.1", "12.0.0~standin1", "11.6.9", "12.0.0", "12.0.0~rc1"]
    entries = [{"Version": version} for version in versions]
    assert archive.newest(entries) == {"Version": "12.0.0"}
    assert archive.newest(entries[:3]) == {"Version": "12.0.0~standin1"}
    assert archive.newest([]) is None


def test_release_lists_every_file_with_its_sum() -> None:
    text = archive.release("stable", {"main/binary-all/Packages": b"", "b": b"xy"}, 0)
    assert "Date: Thu, 01 Jan 1970 00:00:00 GMT\n" in text
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert f" {empty}        0 main/binary-all/Packages\n" in text
    assert "        2 b\n" in text


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of our own with two versions, one for a single architecture."""
    work = tmp_path_factory.mktemp("archive")
    folder = work / "repository"
    folder.mkdir()
    debs = [deb(work, "1.0"), deb(work, "1.1", "arm64")]
    archive.build(folder, "stable", debs, work / "gnupg")
    return folder


@pytest.fixture
def url(built: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """A test has nothing to say of every request."""

    handler = functools.partial(Quiet, directory=str(built))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_signatures_are_of_the_key_that_is_exported(built: Path, tmp_path: Path) -> None:
    dists, ring = built / "dists/stable", tmp_path / "ring.gpg"
    archive.command("gpg", "--batch", "--dearmor", "--output", ring, built / "key.asc",
                    GNUPGHOME=str(tmp_path))  # fmt: skip
    for signed in ([dists / "InRelease"], [dists / "Release.gpg", dists / "Release"]):
        archive.command("gpgv", "--keyring", ring, *signed)
    damaged = tmp_path / "Release"
    damaged.write_text((dists / "Release").read_text("utf-8") + "x", encoding="utf-8")
    with pytest.raises(archive.ArchiveError, match="BAD signature"):
        archive.command("gpgv", "--keyring", ring, dists / "Release.gpg", damaged)


def test_key_is_kept_and_private(built: Path) -> None:
    home = built.parent / "gnupg"
    first = archive.ensure_key(home)
    assert archive.ensure_key(home) == first
    assert len(first) == 40
    assert home.stat().st_mode & 0o777 == 0o700
    archive.command("gpgconf", "--kill", "gpg-agent", GNUPGHOME=str(home))


def test_package_for_all_is_listed_everywhere_and_others_in_their_own(built: Path) -> None:
    listed = {
        architecture: {
            entry["Version"]
            for entry in archive.stanzas(
                (built / f"dists/stable/main/binary-{architecture}/Packages").read_text("utf-8")
            )
        }
        for architecture in archive.ARCHITECTURES
    }
    assert listed == {"all": {"1.0"}, "amd64": {"1.0"}, "arm64": {"1.0", "1.1"}}


def test_newest_of_a_reached_archive_is_downloaded_and_checked(url: str) -> None:
    entry = archive.newest_listed(url, "stable", "grafana", "arm64")
    assert entry is not None
    assert entry["Version"] == "1.1"
    assert archive.download(url, entry).startswith(b"!<arch>")
    with pytest.raises(archive.ArchiveError, match="another SHA256"):
        archive.download(url, {**entry, "SHA256": "0" * 64})
    assert archive.newest_listed(url, "stable", "other", "arm64") is None


def test_archive_that_is_not_there_says_so(url: str) -> None:
    with pytest.raises(archive.ArchiveError, match="404"):
        archive.newest_listed(url, "beta", "grafana", "amd64")


def test_plain_values_of_the_role_are_read() -> None:
    text = (
        'grafana_repository_url: "https://apt.example.com"  # why\ngrafana_repository_suite: oss\n'
    )
    assert repository.default("grafana_repository_url", text, "") == "https://apt.example.com"
    assert repository.default("grafana_repository_suite", text, "stable") == "oss"
    assert repository.default("grafana_version", text, "none") == "none"


def test_given_package_is_used_and_a_missing_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deb(tmp_path, "12.1.0")
    monkeypatch.setenv("GRAFANA_DEB", str(real))
    assert repository.choose(tmp_path) == ("real package", real)
    monkeypatch.setenv("GRAFANA_DEB", str(tmp_path / "none.deb"))
    with pytest.raises(archive.ArchiveError, match="there is no such file"):
        repository.choose(tmp_path)


def test_reached_archive_comes_before_the_standin(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRAFANA_DEB", raising=False)
    monkeypatch.setattr(repository, "place", lambda: (url, "stable"))
    kind, file = repository.choose(tmp_path)
    assert kind == "downloaded package"
    assert archive.command("dpkg-deb", "-f", file, "Version").strip() in ("1.0", "1.1")
    monkeypatch.setattr(repository, "place", lambda: ("http://127.0.0.1:9", "stable"))
    kind, file = repository.choose(tmp_path)
    assert kind == "stand-in"
    assert archive.command("dpkg-deb", "-f", file, "Version").strip() == repository.STANDIN_VERSION


def test_standin_package_has_the_layout_of_grafanas(tmp_path: Path) -> None:
    file = repository.build_standin(tmp_path)
    listed = archive.command("dpkg-deb", "--contents", file)
    for path, mode in {
        "./etc/default/grafana-server": "-rw-r--r-- root/root",
        "./usr/lib/systemd/system/grafana-server.service": "-rw-r--r-- root/root",
        "./usr/sbin/grafana-server": "-rwxr-xr-x root/root",
        "./usr/sbin/grafana-cli": "-rwxr-xr-x root/root",
        "./usr/share/grafana/bin/grafana": "-rwxr-xr-x root/root",
        "./usr/share/grafana/conf/defaults.ini": "-rw-r--r-- root/root",
        "./usr/share/grafana/conf/sample.ini": "-rw-r--r-- root/root",
        "./usr/share/grafana/conf/ldap.toml": "-rw-r--r-- root/root",
    }.items():
        lines = [line for line in listed.splitlines() if line.endswith(f" {path}")]
        assert len(lines) == 1, path
        assert lines[0].startswith(mode), lines
    for script in ("postinst", "prerm"):
        text = (repository.HERE / "package/DEBIAN" / script).read_text("utf-8")
        subprocess.run(["sh", "-n"], input=text, text=True, check=True, timeout=10)


def test_archive_is_swapped_in_and_what_is_mounted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "CACHE", tmp_path)
    monkeypatch.setattr(repository, "REPOSITORY", tmp_path / "repository")
    for content in ("first", "second"):
        new = tmp_path / "new"
        new.mkdir()
        (new / "file").write_text(content, encoding="ascii")
        repository.publish(new)
        assert (tmp_path / "repository/file").read_text("ascii") == content
    assert len(list((tmp_path / "builds").iterdir())) == 2
