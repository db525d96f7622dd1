"""Fingerprints of keys agree with GnuPG's, for every kind of key that a repository may have."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from plugins.filter.openpgp import openpgp_fingerprints, openpgp_only


def gpg(home: Path, *arguments: str) -> str:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A keyring with three keys, each with a subkey; its path is short, as a socket lies in it."""
    assert shutil.which("gpg"), "install gpg; `make setup` does"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for algorithm in ("ed25519", "rsa2048", "nistp256"):
            user = f"{algorithm} <{algorithm}@example.com>"
            made = ["--passphrase", "", "--quick-generate-key", user, algorithm, "sign", "never"]
            gpg(folder, *made)
            [key] = shown(folder, algorithm)
            gpg(folder, "--passphrase", "", "--quick-add-key", key, "ed25519", "sign", "never")
        yield folder
        subprocess.run(
            ["gpgconf", "--homedir", name, "--kill", "gpg-agent"], check=True, timeout=20
        )


def shown(home: Path, *names: str) -> list[str]:
    """Fingerprints of primary keys, as GnuPG says."""
    lines = gpg(home, "--with-colons", "--list-keys", *names).splitlines()
    return [
        lines[number + 1].split(":")[9]
        for number, line in enumerate(lines)
        if line.startswith("pub:")
    ]


@pytest.mark.parametrize("name", ["ed25519", "rsa2048", "nistp256"])
def test_one_key(home: Path, name: str) -> None:
    assert openpgp_fingerprints(gpg(home, "--armor", "--export", name)) == shown(home, name)


def test_several_in_one_block_and_in_several(home: Path) -> None:
    wanted = shown(home)
    assert len(wanted) == 3
    assert openpgp_fingerprints(gpg(home, "--armor", "--export")) == wanted
    blocks = "\n".join(gpg(home, "--armor", "--export", key) for key in wanted)
    assert openpgp_fingerprints(blocks) == wanted
    assert openpgp_fingerprints(blocks.replace("\n", "\r\n")) == wanted


def test_a_comment_and_a_version_are_no_part_of_the_key(home: Path) -> None:
    text = gpg(home, "--armor", "--comment", "a: b", "--emit-version", "--export", "ed25519")
    assert "Comment" in text
    assert openpgp_fingerprints(text) == shown(home, "ed25519")


@pytest.mark.parametrize("text", ["", "<html>404</html>", "-----BEGIN PGP SIGNATURE-----"])
def test_what_is_no_key_has_none(text: str) -> None:
    assert openpgp_fingerprints(text) == []


def test_a_key_that_was_cut_off_or_changed_is_refused(home: Path) -> None:
    lines = gpg(home, "--armor", "--export", "rsa2048").splitlines()
    end = lines.index("-----END PGP PUBLIC KEY BLOCK-----")
    for broken in (
        [*lines[:2], "AAAA", lines[end]],
        [*lines[:2], "not base64!", lines[end]],
        [*lines[:2], "xsB=", lines[end]],
    ):
        with pytest.raises(AnsibleFilterError):
            openpgp_fingerprints("\n".join(broken))


def test_only_the_keys_that_are_asked_for_are_kept(home: Path, tmp_path: Path) -> None:
    text = gpg(home, "--armor", "--export")
    first, second, third = shown(home)
    kept = openpgp_only(text, [third.lower(), first, "0" * 40])
    assert openpgp_fingerprints(kept) == [first, third]
    file = tmp_path / "kept.asc"
    file.write_text(kept)
    lines = gpg(home, "--with-colons", "--show-keys", str(file)).splitlines()
    assert [line.split(":")[9] for line in lines if line.startswith("uid:")] == [
        "ed25519 <ed25519@example.com>",
        "nistp256 <nistp256@example.com>",
    ]
    assert sum(line.startswith("sub:") for line in lines) == 2
    assert openpgp_only(text, ["0" * 40]) == ""
    assert openpgp_only("", [second]) == ""
