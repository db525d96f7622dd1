"""HTTP of uvicorn, to clients whose certificate holds the right name."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

LOG = logging.getLogger("lookout.kit.web")


def protocol_for(client_name: str) -> type[asyncio.Protocol]:
    """The protocol that turns away whose certificate lacks the name; without one, nobody."""
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415

    class Named(H11Protocol):  # type: ignore[misc]
        """Looks at the certificate once a connection."""

        def connection_made(self, transport: Any) -> None:
            """Close it before anything is read."""
            names = (transport.get_extra_info("peercert") or {}).get("subjectAltName", ())
            if client_name and ("DNS", client_name) not in names:
                LOG.warning("a client was turned away: its certificate is not %s's", client_name)
                transport.abort()
            super().connection_made(transport)

    return Named
