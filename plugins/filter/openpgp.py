"""The fingerprints of OpenPGP keys, without a program that a host may not have."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

_ARMOR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
_PUBLIC_KEY = 6  # RFC 9580, section 5: the packet of a primary key; 14 would be a subkey
_PARTIAL = 224  # lengths of packets from here to 254 are parts of one


def _binary(text: str) -> Iterator[bytes]:
    """The bytes of each armoured block; header lines and the checksum are left out."""
    for block in _ARMOR.findall(text.replace("\r\n", "\n")):
        lines = [line.strip() for line in block.splitlines()]
        body = [line for line in lines if line and ": " not in line and not line.startswith("=")]
        try:
            yield base64.b64decode("".join(body), validate=True)
        except binascii.Error as error:
            raise AnsibleFilterError(f"an armoured key that cannot be decoded: {error}") from None


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Length of a packet with a new header, and where its body begins (RFC 9580, 4.2.1)."""
    first = data[at]
    if first < 192:  # noqa: PLR2004
        return first, at + 1
    if first < _PARTIAL:
        return ((first - 192) << 8) + data[at + 1] + 192, at + 2
    if first == 255:  # noqa: PLR2004
        return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
    raise AnsibleFilterError("a key in parts of unknown length: no keyring has such")


def _old_length(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """The same for an old header (4.2.2), whose lowest two bits say how long the length is."""
    if kind == 3:  # noqa: PLR2004
        return len(data) - at, at
    octets = 1 << kind
    return int.from_bytes(data[at : at + octets], "big"), at + octets


def _packets(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Tag, place of the header, and body of each packet."""
    at = 0
    while at < len(data):
        header = data[at]
        if not header & 0x80:
            raise AnsibleFilterError("not a sequence of OpenPGP packets")
        if header & 0x40:
            tag = header & 0x3F
            length, body = _length(data, at + 1)
        else:
            tag = (header >> 2) & 0x0F
            length, body = _old_length(data, at + 1, header & 3)
        yield tag, at, data[body : body + length]
        at = body + length


def _fingerprint(key: bytes) -> str:
    """Of a version 4 key the SHA-1 of its packet, of version 6 the SHA-256 (RFC 9580, 5.5.4)."""
    if key[:1] == b"\x06":
        return hashlib.sha256(b"\x9b" + len(key).to_bytes(4, "big") + key).hexdigest().upper()
    # S324: the format says which hash it is
    return hashlib.sha1(b"\x99" + len(key).to_bytes(2, "big") + key).hexdigest().upper()  # noqa: S324


def _keys(text: str) -> list[tuple[str, bytes]]:
    """Each key of armoured text, in order: its fingerprint, and its packets up to the next key."""
    keys: list[tuple[str, bytes]] = []
    for data in _binary(text):
        begins = [(start, body) for tag, start, body in _packets(data) if tag == _PUBLIC_KEY]
        ends = [start for start, _ in begins[1:]] + [len(data)]
        keys += [(_fingerprint(b), data[s:e]) for (s, b), e in zip(begins, ends, strict=True)]
    return keys


def _checksum(data: bytes) -> bytes:
    """The CRC-24 at the end of an armoured block (RFC 9580, 6.1.1)."""
    crc = 0xB704CE
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc.to_bytes(3, "big")


def openpgp_fingerprints(text: str) -> list[str]:
    """Fingerprints of the primary keys in armoured text, in order; empty where there is none."""
    try:
        return [fingerprint for fingerprint, _ in _keys(text)]
    except IndexError:
        raise AnsibleFilterError("a key that ends in its midst") from None


def openpgp_only(text: str, fingerprints: Sequence[str]) -> str:
    """The keys of armoured text that have one of these fingerprints, armoured; empty without one.

    A file of a repository may hold former keys beside the one that it is signed with.
    """
    wanted = {fingerprint.replace(" ", "").upper() for fingerprint in fingerprints}
    data = b"".join(key for fingerprint, key in _keys(text) if fingerprint in wanted)
    if not data:
        return ""
    body = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 64))
    checksum = base64.b64encode(_checksum(data)).decode()
    kind = "PGP PUBLIC KEY BLOCK"
    return f"-----BEGIN {kind}-----\n\n{body}\n={checksum}\n-----END {kind}-----\n"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"openpgp_fingerprints": openpgp_fingerprints, "openpgp_only": openpgp_only}
