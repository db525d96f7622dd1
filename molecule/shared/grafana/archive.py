"""An apt archive: the files that apt reads, written and read without apt's own tools."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path

ARCHITECTURES = ("all", "amd64", "arm64")
TIMEOUT_SECONDS = 120
REACH_SECONDS = 3

Stanza = dict[str, str]


class ArchiveError(Exception):
    """An archive that cannot be built or read; the message says why."""


def command(*argv: str | Path, **environment: str) -> str:
    """Run a program to its end; ArchiveError quotes what it said."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **environment},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ArchiveError(f"{argv[0]}: {error}") from None
    if done.returncode != 0:
        raise ArchiveError(
            f"{argv[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


# --- what a package and an archive say of themselves ---


def stanzas(text: str) -> list[Stanza]:
    """The paragraphs of a Packages file; an indented line belongs to the field before it."""
    found: list[Stanza] = []
    for paragraph in text.split("\n\n"):
        fields: Stanza = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] += f"\n{line}"
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            found.append(fields)
    return found


def packages_entry(control: str, filename: str, content: bytes) -> str:
    """A package's paragraph in Packages: its control file, where it lies, and its sums."""
    return (
        f"{control.strip()}\nFilename: {filename}\nSize: {len(content)}\n"
        f"MD5sum: {hashlib.md5(content, usedforsecurity=False).hexdigest()}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )


def release(suite: str, files: dict[str, bytes], at: float) -> str:
    """The Release file: every other file of the suite with its size and sum."""
    sums = "".join(
        f" {hashlib.sha256(content).hexdigest()} {len(content):>8} {name}\n"
        for name, content in sorted(files.items())
    )
    return (
        "Origin: lookout-tests\nLabel: lookout-tests\n"
        f"Suite: {suite}\nCodename: {suite}\nDate: {formatdate(at, usegmt=True)}\n"
        f"Architectures: {' '.join(ARCHITECTURES)}\nComponents: main\nSHA256:\n{sums}"
    )


def newest(candidates: Iterable[Stanza]) -> Stanza | None:
    """The paragraph of the highest version, by dpkg's rules."""
    best: Stanza | None = None
    for candidate in candidates:
        if best is None or _is_newer(candidate["Version"], best["Version"]):
            best = candidate
    return best


def _is_newer(version: str, than: str) -> bool:
    asked = subprocess.run(
        ["dpkg", "--compare-versions", version, "gt", than], check=False, timeout=TIMEOUT_SECONDS
    )
    return asked.returncode == 0


# --- an archive somewhere else ---


def fetch(url: str, timeout: float) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310
            content: bytes = answer.read()
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise ArchiveError(f"{url}: {error}") from None
    return content


def newest_listed(url: str, suite: str, package: str, architecture: str) -> Stanza | None:
    """What an archive lists as the newest of a package; ArchiveError where it cannot be reached."""
    base = f"{url.rstrip('/')}/dists/{suite}"
    inside = fetch(f"{base}/Release", REACH_SECONDS).decode(errors="replace")
    name = f"main/binary-{architecture}/Packages"
    packed = next(
        (f"{name}{end}" for end in (".xz", ".gz", "") if f" {name}{end}\n" in inside), name
    )
    content = fetch(f"{base}/{packed}", TIMEOUT_SECONDS)
    if packed.endswith(".xz"):
        content = lzma.decompress(content)
    elif packed.endswith(".gz"):
        content = gzip.decompress(content)
    listed = stanzas(content.decode(errors="replace"))
    return newest(entry for entry in listed if entry.get("Package") == package)


def download(url: str, entry: Stanza) -> bytes:
    """The package of a paragraph, checked against its sum."""
    content = fetch(f"{url.rstrip('/')}/{entry['Filename']}", TIMEOUT_SECONDS)
    if hashlib.sha256(content).hexdigest() != entry["SHA256"]:
        raise ArchiveError(f"{entry['Filename']} of {url} has another SHA256 than it lists")
    return content


# --- our own ---


def ensure_key(home: Path) -> str:
    """The fingerprint of the throwaway key below `home`, which is made when it is missing."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    listing = ("gpg", "--batch", "--with-colons", "--list-secret-keys")
    if "\nfpr:" not in command(*listing, GNUPGHOME=str(home)):
        command(
            "gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "",
            "--quick-generate-key", "Lookout test archive", "rsa3072", "sign", "never",
            GNUPGHOME=str(home),
        )  # fmt: skip
    lines = command(*listing, GNUPGHOME=str(home)).splitlines()
    return next(line.split(":")[9] for line in lines if line.startswith("fpr:"))


def sign(home: Path, folder: Path) -> None:
    """Write InRelease and Release.gpg beside Release."""
    for option, name in (("--clear-sign", "InRelease"), ("--detach-sign", "Release.gpg")):
        command(
            "gpg", "--batch", "--yes", "--quiet", "--armor", "--digest-algo", "SHA512", option,
            "--output", folder / name, folder / "Release", GNUPGHOME=str(home),
        )  # fmt: skip


def build(folder: Path, suite: str, debs: list[Path], home: Path) -> str:
    """A signed archive of some packages below `folder`; returns the key's fingerprint."""
    dists = folder / "dists" / suite
    entries: dict[str, list[str]] = {architecture: [] for architecture in ARCHITECTURES}
    for deb in debs:
        control, content = command("dpkg-deb", "-f", deb), deb.read_bytes()
        fields = stanzas(control)[0]
        filename = f"pool/{fields['Package']}_{fields['Version']}_{fields['Architecture']}.deb"
        (folder / "pool").mkdir(parents=True, exist_ok=True)
        (folder / filename).write_bytes(content)
        own = ARCHITECTURES if fields["Architecture"] == "all" else (fields["Architecture"],)
        for architecture in own:
            if architecture in entries:
                entries[architecture].append(packages_entry(control, filename, content))
    files = {
        f"main/binary-{architecture}/Packages": "\n".join(texts).encode()
        for architecture, texts in entries.items()
    }
    for name, content in files.items():
        (dists / name).parent.mkdir(parents=True, exist_ok=True)
        (dists / name).write_bytes(content)
    (dists / "Release").write_text(release(suite, files, time.time()), encoding="utf-8")
    fingerprint = ensure_key(home)
    sign(home, dists)
    exported = command("gpg", "--batch", "--armor", "--export", fingerprint, GNUPGHOME=str(home))
    (folder / "key.asc").write_text(exported, encoding="ascii")
    # gpg leaves its agent behind, which would live as long as the machine
    command("gpgconf", "--kill", "gpg-agent", GNUPGHOME=str(home))
    return fingerprint
