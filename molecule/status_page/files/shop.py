"""A shop with a sign-in, which the tasks of the tests try. A file /srv/shop/<fault> breaks it."""

import http.cookies
import http.server
import json
import secrets
import time
import urllib.parse
from pathlib import Path

FAULTS = Path("/srv/shop")
TOLD = FAULTS / "told.jsonl"
PASSWORD = (FAULTS / "password").read_text(encoding="utf-8").strip()
SESSIONS: dict[str, dict[str, str]] = {}
SCRIPT = "window.shop = {open: () => location.assign('/shop/')};"
FORM = """<h1>Sign in</h1><form method="post" action="login">
<input type="hidden" name="token" value="{token}"><input name="name">
<input type="password" name="password">
<button name="go" value="1">Go</button></form>"""
ORDERS = """<h1>Your orders</h1><form method="post" action="logout">
<input type="hidden" name="token" value="{token}"></form>"""


def broken(fault: str) -> bool:
    """Whether a test wants this fault."""
    return (FAULTS / fault).exists()


class Shop(http.server.BaseHTTPRequestHandler):
    """Pages, a sign-in with a token and a session, and a place where messages arrive."""

    protocol_version = "HTTP/1.1"

    def session(self) -> tuple[str, dict[str, str]]:
        """The session of the request's cookie, or a new one."""
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        key = cookie["session"].value if "session" in cookie else ""
        if key not in SESSIONS:
            key = secrets.token_urlsafe()
            SESSIONS[key] = {"token": secrets.token_urlsafe(), "name": ""}
        return key, SESSIONS[key]

    def answer(self, body: str, status: int = 200, kind: str = "text/html", **headers: str) -> None:
        """Send a page."""
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        """A page."""
        if broken("hang"):
            time.sleep(600)
        key, session = self.session()
        kept = {"Set_Cookie": f"session={key}; Path=/; HttpOnly"}
        if broken("error"):
            self.answer("<h1>Something went wrong</h1>", 500)
        elif self.path == "/":
            self.answer(
                "<h1>Welcome</h1>" if not broken("empty") else "<h1>Under construction</h1>"
            )
        elif self.path == "/login":
            self.answer(FORM.format(token=session["token"]), **kept)
        elif self.path == "/orders" and (session["name"] or broken("open")):
            self.answer(ORDERS.format(token=session["token"]), **kept)
        elif self.path == "/orders":
            self.answer("", 303, Location="login", **kept)
        elif self.path == "/bookmarklet.js":
            kind = "text/html" if broken("script") else "text/javascript"
            self.answer(SCRIPT, kind=kind)
        else:
            self.answer("<h1>Not here</h1>", 404)

    def do_POST(self) -> None:
        """Sign in and out, or take a message."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/told":
            with TOLD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(json.loads(raw)) + "\n")
            self.answer("{}")
            return
        form = dict(urllib.parse.parse_qsl(raw))
        _, session = self.session()
        if form.get("token") != session["token"]:
            self.answer("<h1>The token is wrong</h1>", 403)
        elif self.path == "/logout":
            session["name"] = session["name"] if broken("stay") else ""
            self.answer("", 303, Location="login")
        elif form.get("name") == "probe" and form.get("password") == PASSWORD:
            session["name"] = "probe" if not broken("refuse") else ""
            self.answer("", 303, Location="orders")
        else:
            self.answer(FORM.format(token=session["token"]))

    def log_message(self, *_: object) -> None:
        """Say nothing: nginx logs."""


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Shop).serve_forever()
