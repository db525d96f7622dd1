"""HTTP: TLS, the sub path, cookies, who is asking, and the pages that are no API."""

from __future__ import annotations

import html
import http.server
import os
import socket
import ssl
import time
from http import cookies
from pathlib import Path
from urllib.parse import urlsplit

from . import VERSION
from .accounts import SignInError
from .app import App, RefusalError, Request, Response, answer, dispatch, unauthorized
from .log import Logger
from .settings import RefusedError, Settings

LOG = Logger("http.server")
CONTEXT = Logger("context")
HANDSHAKE_SECONDS = 15
BODY_MAX_BYTES = 32 << 20


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS as the settings have it; `protocol` is https, h2, or plain HTTP whatever else it says."""
    if settings.text("server", "protocol") not in ("https", "h2"):
        return None
    files = {key: settings.text("server", key) for key in ("cert_file", "cert_key")}
    for key, file in files.items():
        if not file:
            raise RefusedError(f"{key} cannot be empty when using HTTPS")
        if not Path(file).exists():
            raise RefusedError(f"cannot find SSL {key} at {file!r}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    newest = settings.text("server", "min_tls_version", "TLS1.2") == "TLS1.3"
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest else ssl.TLSVersion.TLSv1_2
    try:
        with open(files["cert_key"], "rb"), open(files["cert_file"], "rb"):
            context.load_cert_chain(files["cert_file"], files["cert_key"])
    except (OSError, ssl.SSLError) as error:
        raise RefusedError(f"could not load SSL certificate: {error}") from None
    return context


class Server(http.server.ThreadingHTTPServer):
    """Listens where the settings say, a thread a connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, app: App) -> None:
        self.app = app
        self.tls = tls_context(app.settings)
        host, port = (
            app.settings.text("server", "http_addr"),
            app.settings.text("server", "http_port", "3000"),
        )
        if not host and socket.has_dualstack_ipv6():
            host = "::"
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, int(port)), Handler)
        except (OSError, ValueError, OverflowError) as error:
            raise RefusedError(
                f"failed to open listener on address {host}:{port}: {error}"
            ) from None

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not the base class's, which asks the name service for our own name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = self.socket.accept()
        if self.tls:  # the handshake itself is the thread's
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        LOG.debug("connection ended", remote_addr=client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = HANDSHAKE_SECONDS * 4

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The base class writes to standard error; our lines are those of `_handle`."""

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _handle(self) -> None:
        began = time.monotonic()
        app, metrics = self.server.app, self.server.app.metrics
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX_BYTES:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        metrics.in_flight += 1
        try:
            name, response = self._answer(app, body)
        except RefusalError as error:
            name, response = "refused", answer(error.content, error.status)
        except Exception as error:
            # Whatever it is, the client gets an answer and the log the reason, as in Grafana.
            CONTEXT.error("Request error", error=f"{type(error).__name__}: {error}", path=self.path)
            name, response = "panic", answer({"message": "Internal Server Error"}, 500)
        finally:
            metrics.in_flight -= 1
        self.send_response(response.status)
        headers = {name.lower() for name, _ in response.headers}
        for header, value in [*self._defaults(), *response.headers]:
            if (header, value) in response.headers or header.lower() not in headers:
                self.send_header(header, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        took = time.monotonic() - began
        metrics.request(name, self.command, response.status, took)
        if response.status not in (200, 304) or app.settings.true("server", "router_logging"):
            line = CONTEXT.error if response.status >= 500 else CONTEXT.info
            line(
                "Request Completed", method=self.command, path=urlsplit(self.path).path,
                status=response.status, remote_addr=self.client_address[0], time_ms=int(took * 1000),
            )  # fmt: skip

    def _defaults(self) -> list[tuple[str, str]]:
        settings = self.server.app.settings
        headers = [("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]
        if not settings.true("security", "allow_embedding"):
            headers.append(("X-Frame-Options", "deny"))
        if self.server.tls and settings.true("security", "strict_transport_security"):
            age = settings.text("security", "strict_transport_security_max_age_seconds", "86400")
            headers.append(("Strict-Transport-Security", f"max-age={age}"))
        return headers

    def _answer(self, app: App, body: bytes) -> tuple[str, Response]:
        settings = app.settings
        path, _, query = self.path.partition("?")
        if settings.serve_from_sub_path and settings.sub_path:
            if not self.path.startswith((settings.sub_path, "/api")):
                return "redirect", _redirect(settings.app_url + self.path.lstrip("/"), 301)
            if path == settings.sub_path or path.startswith(f"{settings.sub_path}/"):
                path = path.removeprefix(settings.sub_path) or "/"
        reading = self.command in ("GET", "HEAD")
        if reading and path == "/healthz":
            return path, Response(200, b"Ok", [("Content-Type", "text/plain")])
        if reading and path == "/api/health":
            return path, _health(app)
        if self.command == "GET" and path == "/metrics" and settings.true("metrics", "enabled"):
            return path, Response(
                200, app.metrics.text().encode(), [("Content-Type", "text/plain; version=0.0.4")]
            )
        request = Request(
            self.command, path, query, {k.lower(): v for k, v in self.headers.items()}, body
        )
        if not reading and self._session() and self._foreign():
            return "csrf", Response(403, b"origin not allowed", [("Content-Type", "text/plain")])
        if path == "/login" and self.command == "POST":
            return path, self._sign_in(app, request)
        self._authenticate(app, request)
        if path.startswith("/api/"):
            return dispatch(app, request)
        return self._page(app, request)

    # --- who is asking ---

    def _session(self) -> str:
        jar = cookies.SimpleCookie()
        try:
            jar.load(self.headers.get("Cookie", ""))
        except cookies.CookieError:
            return ""
        name = self.server.app.settings.text("auth", "login_cookie_name", "grafana_session")
        return jar[name].value if name in jar else ""

    def _foreign(self) -> bool:
        """A browser's request from a page of another host."""
        origin = self.headers.get("Origin") or self.headers.get("Referer")
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return bool(origin) and urlsplit(str(origin)).hostname != host

    def _authenticate(self, app: App, request: Request) -> None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() == "basic" and app.settings.true("auth.basic", "enabled"):
                request.who = app.accounts.by_basic(value)
            elif scheme.lower() == "bearer":
                request.who = app.accounts.by_token(value)
            elif self._session():
                request.who = app.accounts.by_session(self._session())
        except SignInError as error:
            Logger("authn.service").warn("Failed to authenticate request", error=error)
            request.refused = error

    def _sign_in(self, app: App, request: Request) -> Response:
        given = request.json()
        name, password = str(given.get("user") or ""), str(given.get("password") or "")
        if app.settings.true("auth", "disable_login_form"):
            return answer({"message": "Login is disabled"}, 401)
        try:
            who = app.accounts.sign_in(name, password)
        except SignInError as error:
            Logger("authn.service").warn(
                "Failed to authenticate request", client="auth.client.form", user=name, error=error
            )
            return unauthorized(error)
        app.metrics.logins += 1
        LOG.info("Successful Login", id=f"user:{who.id}", user=who.row["login"])
        response = answer({"message": "Logged in", "redirectUrl": f"{app.settings.sub_path}/"})
        response.headers += self._cookies(
            app.settings, app.accounts.open_session(who.id), int(app.accounts.lifetime)
        )
        return response

    def _cookies(self, settings: Settings, token: str, age: int) -> list[tuple[str, str]]:
        name = settings.text("auth", "login_cookie_name", "grafana_session")
        rest = f"; Path={settings.sub_path or '/'}; Max-Age={age}"
        if settings.true("security", "cookie_secure"):
            rest += "; Secure"
        same = settings.text("security", "cookie_samesite", "lax").lower()
        if same != "disabled":
            rest += (
                f"; SameSite={same.capitalize() if same in ('lax', 'strict', 'none') else 'Lax'}"
            )
        return [
            ("Set-Cookie", f"{name}={token}{rest}; HttpOnly"),
            ("Set-Cookie", f"{name}_expiry={int(time.time()) + 540}{rest}"),
        ]

    # --- pages ---

    def _page(self, app: App, request: Request) -> tuple[str, Response]:
        home, reading = f"{app.settings.sub_path}/", request.method in ("GET", "HEAD")
        if request.path == "/logout" and reading:
            app.accounts.close_session(self._session())
            response = _redirect(f"{home}login", 302)
            response.headers += self._cookies(app.settings, "", -1)
            return "/logout", response
        if request.path == "/login" and reading:
            if request.who:
                return "/login", _redirect(home, 302)
            return "/login", _html("Sign in: POST user and password as JSON to this address.")
        if not request.who:
            return "page", _redirect(f"{home}login", 302)
        if request.path == "/" or request.path.startswith(
            ("/d/", "/dashboards", "/explore", "/admin")
        ):
            return "page", _html(
                f"Signed in as {request.who.row['login']} ({request.who.row['role']})."
            )
        return "notfound", Response(
            404, _html("Page not found.").body, [("Content-Type", "text/html; charset=UTF-8")]
        )


def _redirect(target: str, status: int) -> Response:
    return Response(status, b"", [("Location", target)])


def _html(text: str) -> Response:
    page = (
        "<!doctype html><title>Grafana stand-in</title><h1>Grafana stand-in</h1>"
        f"<p>This is not Grafana, but a double of it for tests ({VERSION}).</p><p>{html.escape(text)}</p>"
    )
    return Response(200, page.encode(), [("Content-Type", "text/html; charset=UTF-8")])


def _health(app: App) -> Response:
    healthy = app.database.healthy()
    content = {
        "database": "ok" if healthy else "failing", "version": VERSION, "commit": "none", "standIn": True,
    }  # fmt: skip
    return answer(content, 200 if healthy else 503)


def write_pid(path: str) -> None:
    if path:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(f"{os.getpid()}", encoding="ascii")
        except OSError as error:
            raise RefusedError(f"failed to write pidfile: {error}") from None
