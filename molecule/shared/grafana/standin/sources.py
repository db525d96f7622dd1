"""Data sources: what is stored of them, and requests to the real Prometheus or Alertmanager."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from .database import Database, Row
from .secrets_store import WrongKeyError, decrypt, encrypt

TIMEOUT_SECONDS = 30
NAMES = {
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "grafana-postgresql-datasource": "PostgreSQL",
}
# What a POST through the proxy may reach of a Prometheus, everything else only changes things.
POSTS = {
    f"api/v1/{name}" for name in ("query", "query_range", "series", "labels", "query_exemplars")
}


class SourceError(Exception):
    """A data source that cannot be stored or asked."""


@dataclass(frozen=True)
class Answer:
    """What a data source answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Sources:
    """All data sources; their secrets are readable only with the `secret_key` they came with."""

    def __init__(self, database: Database, secret_key: str) -> None:
        self.database, self.secret_key = database, secret_key

    def all(self) -> list[Row]:
        return self.database.run("SELECT * FROM data_source ORDER BY lower(name)")

    def by(self, key: str, value: str) -> Row | None:
        return self.database.one(f"SELECT * FROM data_source WHERE {key} = ?", value)  # noqa: S608

    def save(
        self, given: dict[str, Any], read_only: bool, prunable: bool, known: Row | None
    ) -> Row:
        """Write a data source; its name and uid have to be its own."""
        name, uid = str(given.get("name") or ""), str(given.get("uid") or "")
        for key, value, text in (("name", name, "name"), ("uid", uid, "uid")):
            other = self.by(key, value) if value else None
            if other and (not known or other["id"] != known["id"]):
                raise SourceError(f"data source with the same {text} already exists")
        kind = (
            "grafana-postgresql-datasource"
            if given.get("type") == "postgres"
            else given.get("type")
        )
        secure = {k: v for k, v in (given.get("secureJsonData") or {}).items() if v}
        values: dict[str, object] = {
            "uid": uid or (known or {}).get("uid") or os.urandom(7).hex(), "name": name, "type": kind or "",
            "access": given.get("access") or "proxy", "url": given.get("url") or "",
            "username": given.get("user") or "", "db": given.get("database") or "",
            "basic_auth": int(bool(given.get("basicAuth"))),
            "basic_auth_user": given.get("basicAuthUser") or "",
            "is_default": int(bool(given.get("isDefault"))),
            "json_data": json.dumps(given.get("jsonData") or {}), "read_only": int(read_only),
            "secure_json_data": encrypt(secure, self.secret_key), "is_prunable": int(prunable),
            "version": (known or {"version": 0})["version"] + 1,
        }  # fmt: skip
        if values["is_default"]:
            self.database.run("UPDATE data_source SET is_default = 0")
        if known:
            self.database.update("data_source", "id", known["id"], **values)
        else:
            self.database.insert("data_source", **values)
        saved = self.by("name", name)
        assert saved is not None
        return saved

    def delete(self, name: str) -> None:
        self.database.delete("data_source", name=name)

    def secrets(self, source: Row) -> dict[str, Any]:
        return decrypt(source["secure_json_data"], self.secret_key)

    def shown(self, source: Row, whole: bool) -> dict[str, Any]:
        """A data source as the API shows it; a secret only as being there."""
        about: dict[str, Any] = {
            "id": source["id"], "uid": source["uid"], "orgId": 1, "name": source["name"],
            "type": source["type"], "typeLogoUrl": "", "access": source["access"], "url": source["url"],
            "user": source["username"], "database": source["db"], "basicAuth": bool(source["basic_auth"]),
            "isDefault": bool(source["is_default"]), "jsonData": json.loads(source["json_data"]),
            "readOnly": bool(source["read_only"]),
        }  # fmt: skip
        if not whole:
            return {**about, "typeName": NAMES.get(source["type"], source["type"])}
        try:
            fields = dict.fromkeys(self.secrets(source), True)
        except WrongKeyError:
            fields = {}
        return {
            **about, "basicAuthUser": source["basic_auth_user"], "withCredentials": False,
            "secureJsonFields": fields, "version": source["version"],
        }  # fmt: skip

    def fetch(
        self, source: Row, path: str, query: str = "", method: str = "GET", body: bytes | None = None,
        content_type: str = "",
    ) -> Answer:  # fmt: skip
        """One request to the data source, with its certificates; SourceError when there is no answer."""
        parts = urlsplit(source["url"])
        target = f"{parts.path.rstrip('/')}/{path.lstrip('/')}" + (f"?{query}" if query else "")
        headers = {"Content-Type": content_type} if content_type else {}
        options, secure = json.loads(source["json_data"]), self.secrets(source)
        connection: http.client.HTTPConnection
        try:
            if parts.scheme == "https":
                connection = http.client.HTTPSConnection(
                    parts.netloc, timeout=TIMEOUT_SECONDS, context=_context(options, secure)
                )
                if options.get("serverName"):
                    _expect(connection, options["serverName"])
            else:
                connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
            if source["basic_auth"]:
                pair = f"{source['basic_auth_user']}:{secure.get('basicAuthPassword', '')}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            with contextlib.closing(connection):
                connection.request(method, target, body, headers)
                answer = connection.getresponse()
                return Answer(answer.status, answer.getheaders(), answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(f"{method} {source['url']}: {error}") from None

    def ask(self, source: Row, path: str, **values: object) -> dict[str, Any]:
        """A question to Prometheus' API; SourceError with its own words when it refuses."""
        answer = self.fetch(source, path, urlencode(values))
        try:
            said: dict[str, Any] = json.loads(answer.body)
        except ValueError:
            raise SourceError(f"{source['url']} answered {answer.status}, and no JSON") from None
        if answer.status != 200 or said.get("status") != "success":
            raise SourceError(str(said.get("error") or f"status {answer.status}"))
        return said


def _context(options: dict[str, Any], secure: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if options.get("tlsSkipVerify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if options.get("tlsAuthWithCACert"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=secure.get("tlsCACert", ""))
    if options.get("tlsAuth"):
        with (
            _file(secure.get("tlsClientCert", "")) as chain,
            _file(secure.get("tlsClientKey", "")) as key,
        ):
            context.load_cert_chain(chain, key)
    return context


def _expect(connection: http.client.HTTPSConnection | Any, name: str) -> None:
    """Have the certificate checked for another name than that of the URL."""
    context: ssl.SSLContext = connection._context
    wrap = context.wrap_socket

    def wrapped(sock: Any, *_: object, **__: object) -> ssl.SSLSocket:
        return wrap(sock, server_hostname=name)

    context.wrap_socket = wrapped  # type: ignore[assignment]


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """A file of our own for as long as OpenSSL reads it."""
    with tempfile.NamedTemporaryFile("w", prefix="grafana-") as file:
        file.write(text)
        file.flush()
        yield file.name
