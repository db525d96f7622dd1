"""RabbitMQ takes a message and gives it back."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from lookout.kit.config import option
from lookout.status.registry import Context, Failed, Outcome, task
from lookout.status.tls import client_context


@task("rabbitmq_access")
@dataclass(frozen=True, kw_only=True)
class RabbitmqAccess:
    """Options: the broker, and who asks it."""

    host: str = option("127.0.0.1", pattern=r"\S+")
    port: int = option(5671, at_least=1, at_most=65535)
    virtual_host: str = option("/", pattern=r".+")
    user: str = option(pattern=r".+")
    # File with the password
    password_credential: str = option(pattern=r".+")
    # Demand TLS with a certificate that is checked
    tls: bool = True
    # CA of the broker; the system's without one
    ca_file: Path | None = None

    def run(self, context: Context) -> Outcome:
        """Send a message to a queue of our own, which goes with the connection, and fetch it."""
        import pika  # noqa: PLC0415 -- what only this kind of task needs
        import pika.exceptions  # noqa: PLC0415

        began = monotonic()
        try:
            connection = pika.BlockingConnection(self._parameters(pika, context))
            try:
                connected = monotonic()
                self._exchange(pika, connection, context)
            finally:
                if connection.is_open:
                    connection.close()
        except pika.exceptions.UnroutableError as error:
            raise Failed("the broker did not take the message") from error
        except (pika.exceptions.AMQPError, OSError) as error:
            raise Failed(of_broker(error)) from error
        return Outcome(
            True,
            f"connected in {1000 * (connected - began):.0f} ms,"
            f" message back in {1000 * (monotonic() - connected):.0f} ms",
        )

    def _parameters(self, pika: Any, context: Context) -> Any:
        secure = pika.SSLOptions(client_context(self.ca_file), self.host) if self.tls else None
        return pika.ConnectionParameters(
            host=self.host,
            port=self.port,
            virtual_host=self.virtual_host,
            credentials=pika.PlainCredentials(
                self.user, context.credential(self.password_credential)
            ),
            ssl_options=secure,
            connection_attempts=1,
            socket_timeout=context.timeout_seconds,
            stack_timeout=context.timeout_seconds,
            blocked_connection_timeout=context.timeout_seconds,
            client_properties={"connection_name": f"lookout-status {context.name}"},
        )

    def _exchange(self, pika: Any, connection: Any, context: Context) -> None:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True, auto_delete=True).method.queue
        sent = uuid.uuid4().hex.encode()
        channel.basic_publish("", queue, sent, pika.BasicProperties(), mandatory=True)
        until = monotonic() + context.timeout_seconds
        while monotonic() < until:
            method, _, body = channel.basic_get(queue, auto_ack=True)
            if method is not None:
                if body != sent:
                    raise Failed("the broker gave back another message")
                return
            sleep(0.05)
        raise Failed("the broker took the message and did not give it back")


def of_broker(error: BaseException) -> str:
    """Say in a few words what went wrong; pika wraps one error into another, some without words."""
    name, text = type(error).__name__, str(error)
    parts = [*error.args, getattr(error, "exception", None), *getattr(error, "exceptions", ())]
    inner = [of_broker(part) for part in parts if isinstance(part, BaseException)]
    if name == "ProbableAuthenticationError" or "ACCESS_REFUSED" in text:
        return "the broker refuses the password"
    if name == "ProbableAccessDeniedError":
        return "the broker refuses the virtual host"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return inner[0] if inner else f"{name}: {text}" if text else name
