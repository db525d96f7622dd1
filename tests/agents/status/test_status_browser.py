"""The client for websites: no secret goes to another origin, both releases trust the same CAs."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lookout.status import tls
from lookout.status.registry import Context, Failed
from lookout.status.tasks import web
from lookout.status.tasks.website_access import WebsiteAccess
from lookout.status.tasks.website_login import WebsiteLogin

FORM = b'<form method="post" action="/session"><input name="who"><input type="password" name="p">'


@dataclass
class Site:
    """A website: where it leads to, and what it was asked."""

    server: ThreadingHTTPServer
    leads_to: str = ""
    code: int = 302
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"


@pytest.fixture
def site() -> Iterator[Callable[[], Site]]:
    """Start websites on ports of their own."""
    started: list[Site] = []

    def start() -> Site:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                mine.asked.append((f"{self.command} {self.path}", headers, self.rfile.read(size)))
                leads = mine.leads_to and self.path != "/login"
                self.send_response(mine.code if leads else 200)
                if leads:
                    self.send_header("Location", mine.leads_to)
                self.send_header("Set-Cookie", "session=canary")
                self.end_headers()
                self.wfile.write(FORM if self.path == "/login" else b"Welcome")

            do_GET = do_POST = answer  # noqa: N815 -- the names that it looks for

            def log_message(self, *_: object) -> None: ...

        mine = Site(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=mine.server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(mine)
        return mine

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    (tmp_path / "shop").write_text("canary", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return Context("trial", tmp_path / "status.db", 5)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_password_stays_with_the_site_that_it_is_for(
    site: Callable[[], Site], context: Context, code: int
) -> None:
    shop, other = site(), site()
    shop.leads_to, shop.code = other.url, code
    WebsiteAccess(url=shop.url, user="probe", password_credential="shop").run(context)
    assert shop.asked[0][1]["authorization"].startswith("Basic ")
    ((path, headers, _),) = other.asked
    assert (path, headers["user-agent"]) == ("GET /", web.AGENT)
    assert "authorization" not in headers


def test_a_redirect_within_the_site_keeps_the_password(
    site: Callable[[], Site], context: Context
) -> None:
    shop = site()
    shop.leads_to = f"{shop.url}login"
    WebsiteAccess(url=shop.url, user="probe", password_credential="shop").run(context)
    assert [headers["authorization"][:6] for _, headers, _ in shop.asked] == ["Basic "] * 2


def test_what_a_caller_sets_stays_with_the_site_as_well(site: Callable[[], Site]) -> None:
    shop, other = site(), site()
    shop.leads_to = other.url
    given = {"Cookie": "token=canary-own", "Referer": f"{shop.url}?reset=canary-own"}
    web.Browser(5).ask(shop.url, headers=given)
    ((_, headers, _),) = other.asked
    assert "canary-own" not in str(headers)


@pytest.mark.parametrize("code", [307, 308])
def test_a_form_with_a_password_is_not_sent_on(
    site: Callable[[], Site], context: Context, code: int
) -> None:
    shop, other = site(), site()
    shop.leads_to, shop.code = f"{other.url}session", code
    login = WebsiteLogin(
        login_url=f"{shop.url}login", user="probe", password_credential="shop", expect_text="Welc"
    )
    with pytest.raises(Failed, match=r"the form would be sent on to http://127\.0\.0\.1:.*was not"):
        login.run(context)
    assert b"canary" in shop.asked[-1][2]
    assert other.asked == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://shop/a", "https://shop:443/b", True),
        ("https://SHOP/", "https://shop/", True),
        ("https://shop/", "https://shop:8443/", False),
        ("http://shop/", "https://shop/", False),
        ("https://shop/", "https://shop.example.com/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (web.origin_of(one) == web.origin_of(other)) is same


def test_a_ca_is_judged_alike_by_both_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ssl.create_default_context

    def as_python_3_13(cafile: str | None = None) -> ssl.SSLContext:
        context = made(cafile=cafile)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr("ssl.create_default_context", as_python_3_13)
    context = tls.client_context(None)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    with pytest.raises(Failed, match=r"none\.pem cannot be read"):
        tls.client_context(Path("/none.pem"))


def test_no_task_makes_a_context_of_its_own() -> None:
    folder = Path(tls.__file__).parent / "tasks"
    assert [f.name for f in folder.glob("*.py") if "create_default_context" in f.read_text()] == []
