"""One connection: the sub path, cookies, who is asking, and the answer."""

from __future__ import annotations

import base64
import http.server
import time
from http import cookies
from typing import Any
from urllib.parse import urlsplit

from .accounts import SignInError
from .app import App, RefusalError, Request, Response, answer, dispatch, unauthorized
from .log import Logger
from .pages import health, page, redirect, text
from .settings import Settings

LOG = Logger("http.server")
CONTEXT = Logger("context")
IDLE_SECONDS = 60
BODY_MAX_BYTES = 32 << 20
PAGES = ("/d/", "/dashboards", "/explore", "/admin")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: Any  # web.Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The base class writes to standard error; our lines are those of `_handle`."""

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

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
                status=response.status, remote_addr=self.client_address[0],
                time_ms=int(took * 1000),
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
                return "redirect", redirect(settings.app_url + self.path.lstrip("/"), 301)
            if path == settings.sub_path or path.startswith(f"{settings.sub_path}/"):
                path = path.removeprefix(settings.sub_path) or "/"
        watched = self._monitoring(app, path)
        if watched:
            return path, watched
        request = Request(
            self.command, path, query, {k.lower(): v for k, v in self.headers.items()}, body
        )
        if self.command not in ("GET", "HEAD") and self._session() and self._foreign():
            return "csrf", text("origin not allowed", 403)
        if path == "/login" and self.command == "POST":
            return path, self._sign_in(app, request)
        self._authenticate(app, request)
        return dispatch(app, request) if path.startswith("/api/") else self._page(app, request)

    def _monitoring(self, app: App, path: str) -> Response | None:
        """What answers without a sign-in, before all else."""
        if self.command not in ("GET", "HEAD"):
            return None
        if path == "/healthz":
            return text("Ok")
        if path == "/api/health":
            return health(app)
        if path != "/metrics" or not app.settings.true("metrics", "enabled"):
            return None
        pair = [
            app.settings.text("metrics", f"basic_auth_{key}") for key in ("username", "password")
        ]
        wanted = base64.b64encode(":".join(pair).encode()).decode()
        if all(pair) and self.headers.get("Authorization") != f"Basic {wanted}":
            return text("", 401)
        return text(app.metrics.text())

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
            response = redirect(f"{home}login", 302)
            response.headers += self._cookies(app.settings, "", -1)
            return "/logout", response
        if request.path == "/login" and reading:
            if request.who:
                return "/login", redirect(home, 302)
            return "/login", page("Sign in: POST user and password as JSON to this address.")
        if not request.who:
            return "page", redirect(f"{home}login", 302)
        if request.path == "/" or request.path.startswith(PAGES):
            return "page", page(
                f"Signed in as {request.who.row['login']} ({request.who.row['role']})."
            )
        return "notfound", Response(
            404, page("Page not found.").body, [("Content-Type", "text/html; charset=UTF-8")]
        )
