"""Somebody can sign in at a website, and out again."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from lookout.kit.config import option
from lookout.status.registry import Context, Failed, Outcome, task
from lookout.status.tasks.web import URL, Answer, Browser

OK = 200
# What a browser sends of a form that is submitted by its only button.
IGNORED = {"submit", "button", "image", "reset", "file"}


@dataclass
class Form:
    """A form of a page: where it leads, and its fields with what they hold."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def first(self, *kinds: str) -> str:
        """Name of the first field of one of these kinds; empty where there is none."""
        return next((name for name, kind in self.kinds.items() if kind in kinds), "")


class Forms(HTMLParser):
    """Collects the forms of a page that are sent by POST."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a form, or add a field to the open one."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action", ""))
            if given.get("method", "get").lower() == "post":
                self.found.append(self._open)
        elif tag == "input" and self._open is not None and given.get("name"):
            kind = given.get("type", "text").lower()
            unchecked = kind in ("checkbox", "radio") and "checked" not in given
            if kind not in IGNORED and not unchecked:
                self._open.fields.setdefault(given["name"], given.get("value", ""))
                self._open.kinds.setdefault(given["name"], kind)

    def handle_endtag(self, tag: str) -> None:
        """Close the form."""
        if tag == "form":
            self._open = None


def forms_of(html: str) -> list[Form]:
    """Return the forms of a page that are sent by POST."""
    parser = Forms()
    parser.feed(html)
    return parser.found


def sign_in_form(answer: Answer) -> Form:
    """Return the form of a page that asks for one password."""
    for form in forms_of(answer.text):
        if form.first("password"):
            return form
    raise Failed("the page of the sign-in has no form with a password")


def target(page: str, action: str) -> str:
    """Where a form leads; a password is not sent to another host."""
    leads_to = urllib.parse.urljoin(page, action) if action else page
    if urllib.parse.urlsplit(leads_to)[:2] != urllib.parse.urlsplit(page)[:2]:
        raise Failed("the form leads to another host: the password was not sent")
    return leads_to


@task("website_login")
@dataclass(frozen=True, kw_only=True)
class WebsiteLogin:
    """Options: where the form is, who signs in, and what only those see who did."""

    # Address of the page with the form
    login_url: str = option(pattern=URL)
    # Name that signs in
    user: str = option(pattern=r".+")
    # File with the password
    password_credential: str = option(pattern=r".+")
    # What is seen signed in alone
    expect_text: str = option(pattern=r".+")
    # Page with that text; otherwise the next
    page_url: str = option("", pattern=f"|{URL}")
    # The form's field of the name; found by itself
    user_field: str = ""
    # The form's field of the password; found by itself
    password_field: str = ""
    # Asked at the end, where given
    logout_url: str = option("", pattern=f"|{URL}")
    # CA of the website; the system's without one
    ca_file: Path | None = None

    def run(self, context: Context) -> Outcome:
        """Fetch the form, send it with its hidden fields, look for the text, sign out."""
        browser = Browser(context.timeout_seconds, self.ca_file)
        page = browser.ask(self.login_url)
        if page.status != OK:
            raise Failed(f"the page of the sign-in answers with status {page.status}")
        before = browser.ask(self.page_url) if self.page_url else page
        if self.expect_text in before.text:
            raise Failed(f"the text {self.expect_text!r} is seen without signing in")
        signed_in = self._sign_in(browser, page, context.credential(self.password_credential))
        if self.page_url:
            signed_in = browser.ask(self.page_url)
        if signed_in.status != OK or self.expect_text not in signed_in.text:
            raise Failed(
                f"signed in, and the text {self.expect_text!r} is not seen"
                f" (status {signed_in.status}): is the password refused?"
            )
        if self.logout_url:
            self._sign_out(browser, signed_in)
        return Outcome(True, "signed in" + (" and out" if self.logout_url else ""))

    def _sign_in(self, browser: Browser, page: Answer, password: str) -> Answer:
        form = sign_in_form(page)
        user_field = self.user_field or form.first("text", "email", "tel")
        if not user_field:
            raise Failed("the form has no field for a name: set user_field")
        filled = {
            **form.fields,
            user_field: self.user,
            self.password_field or form.first("password"): password,
        }
        # Some applications refuse a form that does not say where it comes from.
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(page.url))
        sent_from = {"Referer": page.url, "Origin": origin}
        return browser.ask(target(page.url, form.action), filled, sent_from)

    def _sign_out(self, browser: Browser, signed_in: Answer) -> None:
        """By the form that leads there, as it holds a token; otherwise by a plain request."""
        for form in forms_of(signed_in.text):
            if urllib.parse.urljoin(signed_in.url, form.action) == self.logout_url:
                browser.ask(self.logout_url, form.fields, {"Referer": signed_in.url})
                break
        else:
            browser.ask(self.logout_url)
        after = browser.ask(self.page_url or signed_in.url)
        if self.expect_text in after.text:
            raise Failed(f"signed out, and the text {self.expect_text!r} is still seen")
