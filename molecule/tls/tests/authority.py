"""The site CA of the scenario, used as somebody would who has its key and the passphrase."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SECRETS = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent / "secrets"
KEY = SECRETS / "tls/ca.key"
CERTIFICATE = SECRETS / "tls/ca.pem"

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def load_key(text: str) -> Key:
    key = serialization.load_pem_private_key(text.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def site_ca() -> tuple[x509.Certificate, Key]:
    secret = (SECRETS / "tls_authority_passphrase").read_text("ascii").strip()
    key = serialization.load_pem_private_key(KEY.read_bytes(), secret.encode())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(CERTIFICATE.read_bytes()), key


def other_ca() -> tuple[x509.Certificate, Key]:
    """A CA with the same name and another key."""
    key = new_key()
    name = site_ca()[0].subject
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=2))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.sign(key, hashes.SHA256()), key


def issue(
    authority: tuple[x509.Certificate, Key], key: Key, name: str, *, client: bool, days: float = 2
) -> str:
    """Sign a certificate for one DNS name that ends in so many days (negative: it has ended)."""
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    end = datetime.now(UTC) + timedelta(days=days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=30))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    certificate = builder.sign(authority[1], hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
