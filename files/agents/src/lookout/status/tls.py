"""TLS to what tasks try: the certificate is checked, by the same rules on both releases."""

from __future__ import annotations

import ssl
from pathlib import Path

from lookout.status.registry import Failed


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that trusts this CA, or those of the system. Raises Failed without such a file."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise Failed(f"{ca_file} cannot be read: {error}") from error
    # Python 3.13 sets it: Debian 13 would refuse a CA without key identifiers, which 12 takes.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
