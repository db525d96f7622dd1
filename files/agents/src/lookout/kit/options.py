"""The sections that the configuration of every agent has."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lookout.kit.config import option


@dataclass(frozen=True)
class LogOptions:
    """What is logged, and where: to the journal always, to a file where a directory is named."""

    level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    directory: Path | None = None


@dataclass(frozen=True)
class TlsOptions:
    """Files of a server that answers to clients of the site alone; read again when they change."""

    certificate: Path
    key: Path
    ca: Path
    # DNS name that a client's certificate has to hold; empty: any that the CA signed for clients
    client_name: str = ""


@dataclass(frozen=True)
class MetricsOptions:
    """Where Prometheus scrapes the agent. Port 0: nowhere."""

    port: int = option(0, at_least=0, at_most=65535)
    address: str = "127.0.0.1"
    tls: TlsOptions | None = None


@dataclass(frozen=True)
class ErrorOptions:
    """How errors reach Sentry, or a server that speaks its protocol.

    The DSN is a secret: it comes as the credential `sentry_dsn` of the unit. Without it nothing is
    reported.
    """

    environment: str = "production"
    # Trusted beside what the system trusts
    ca: Path | None = None
    timeout_seconds: float = option(15.0, at_least=1, at_most=120)
    # An agent that fails over and over shall not fill the server.
    limit_per_minute: int = option(20, at_least=1)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every agent's own options derive from."""

    # The name of the host in the inventory, as everywhere in the stack
    instance: str = field(default_factory=socket.gethostname)
    log: LogOptions = LogOptions()
    metrics: MetricsOptions = MetricsOptions()
    errors: ErrorOptions = ErrorOptions()
