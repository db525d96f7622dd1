"""Read what Ansible needs to know of a certificate."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError
from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS_A_DAY = 86400


def certificate_not_after(pem: str) -> int:
    """When the first certificate of a PEM text ends, in seconds since the epoch."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise AnsibleFilterError(f"this is no certificate in PEM format: {error}") from None
    return int(certificate.not_valid_after_utc.timestamp())


def certificate_days_left(pem: str) -> float:
    """Days until the certificate ends, negative afterwards; 0 for a text that is none."""
    try:
        return (certificate_not_after(pem) - time.time()) / SECONDS_A_DAY
    except AnsibleFilterError:
        return 0.0


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "certificate_not_after": certificate_not_after,
            "certificate_days_left": certificate_days_left,
        }
