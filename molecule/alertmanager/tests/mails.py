"""A mail server that insists on TLS and a password: one line of JSON for each mail it took."""

import email
import email.policy
import json
import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

PORT, CERTIFICATE, KEY, LOG, USER, PASSWORD = sys.argv[1:]


class Keep:
    """Keeps what it is told; aiosmtpd names the method."""

    async def handle_DATA(self, server, session, envelope):  # type: ignore[no-untyped-def]  # noqa: N802, ARG002
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "tls": session.ssl is not None,
            "hello": session.host_name,
            "subject": mail["Subject"],
            "text": mail.get_body(("plain",)).get_content(),
            "html": mail.get_body(("html",)).get_content(),
        }
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        return "250 OK"


def sign_in(_server, _session, _envelope, _mechanism, data):  # type: ignore[no-untyped-def]
    wanted = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == wanted, handled=False)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
Controller(
    Keep(),
    hostname="127.0.0.1",
    port=int(PORT),
    tls_context=context,
    require_starttls=True,
    authenticator=sign_in,
    auth_required=True,
    # Its LOGIN asks in words of its own, which Alertmanager does not know; PLAIN is the standard.
    auth_exclude_mechanism=["LOGIN"],
).start()
signal.pause()
