"""When certificates end: of a file, with all that is in it, and of what a server shows."""

from __future__ import annotations

import re
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from lookout.health.results import CheckError, Result

_PEM = re.compile(
    r"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----", re.DOTALL
)  # fmt: skip
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_LONG_FORM = 0x80
_MAX_FILE_BYTES = 1_000_000


def _take(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag at `at`, and where its contents begin and end (X.690, 8.1)."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length & _LONG_FORM:
        size = length & ~_LONG_FORM
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    if start + length > len(der):
        raise IndexError
    return tag, start, start + length


def _time(tag: int, text: str) -> float:
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError(f"tag {tag} is no time")
    if tag == _UTC_TIME:
        # Years of two digits are those from 1950 to 2049 (RFC 5280, 4.1.2.5.1).
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def not_after(der: bytes) -> float:
    """When a certificate ends, in seconds since 1970.

    TBSCertificate is version, serial number, algorithm, issuer, validity … (RFC 5280, 4.1): the
    validity is the first sequence after the issuer.
    """
    try:
        _, at, _ = _take(der, 0)
        tag, at, _ = _take(der, at)
        if tag != _SEQUENCE:
            raise ValueError(f"tag {tag} in place of a sequence")
        tag, _, end = _take(der, at)
        at = end if tag == _VERSION else at
        for _ in range(3):
            _, _, at = _take(der, at)
        _, at, _ = _take(der, at)
        _, _, at = _take(der, at)
        tag, at, end = _take(der, at)
        return _time(tag, der[at:end].decode("ascii"))
    except (IndexError, ValueError, OverflowError) as error:
        raise CheckError("it is no certificate that could be read") from error


def of_file(path: Path) -> float:
    """When the first of the certificates in a file ends."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise CheckError(f"it cannot be read: {error.strerror}") from error
    blocks = _PEM.findall(text.replace("\r\n", "\n"))
    if not blocks:
        raise CheckError("there is no certificate in it")
    try:
        return min(not_after(ssl.PEM_cert_to_DER_cert(block)) for block in blocks)
    except ValueError as error:  # binascii.Error is one
        raise CheckError("it is no certificate that could be read") from error


def of_server(
    host: str, port: int, server_name: str, context: ssl.SSLContext, limit_seconds: float
) -> float:
    """When the certificate ends that a server shows; the context must not verify it."""
    try:
        with (
            socket.create_connection((host, port), limit_seconds) as connection,
            context.wrap_socket(connection, server_hostname=server_name or host) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
    except OSError as error:
        raise CheckError(f"it could not be asked: {error}") from error
    if not der:
        raise CheckError("it showed no certificate")
    return not_after(der)


def judge(name: str, end: float, now: float, days: float, alert: bool) -> tuple[Result, ...]:
    """The verdict on a certificate that should be good for so many more days."""
    left = (end - now) / 86400
    until = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    problem = ""
    if left < 0:
        problem = f"it ended on {until}"
    elif left < days:
        problem = f"it ends on {until}, in {left:.1f} days; {days:g} should be left"
    return (Result("certificate", name, problem, f"ends in {left:.1f} days", alert),)
