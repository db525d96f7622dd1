"""Who may sign in: local users, LDAP, sessions, tokens of service accounts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

from . import directory
from .database import Database, Row, now
from .log import Logger
from .secrets_store import password_hash, password_is, token_hash
from .settings import Settings

LOG = Logger("authn.service")
RANK = {"None": 0, "Viewer": 1, "Editor": 2, "Admin": 3}
ATTEMPTS_WINDOW_SECONDS = 300


class SignInError(Exception):
    """A sign-in that is refused: what the log says; the client learns only `public`."""

    def __init__(self, reason: str, public: str = "Invalid username or password") -> None:
        super().__init__(reason)
        self.public = public
        self.message_id = "password-auth.failed"


@dataclass(frozen=True)
class Identity:
    """Whoever made a request."""

    row: Row
    by: str

    @property
    def id(self) -> int:
        return int(self.row["id"])

    @property
    def server_admin(self) -> bool:
        return bool(self.row["is_admin"])

    def has(self, role: str) -> bool:
        return RANK[self.row["role"] or "None"] >= RANK[role]


class Accounts:
    """Users and what proves who they are."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.secret_key = settings.text("security", "secret_key")
        self.max_attempts = settings.number(
            "security", "brute_force_login_protection_max_attempts", 5
        )
        self.protected = not settings.true("security", "disable_brute_force_login_protection")
        self.lifetime = settings.duration("auth", "login_maximum_lifetime_duration")
        self.idle = settings.duration("auth", "login_maximum_inactive_lifetime_duration")
        self.servers: list[dict[str, Any]] | None = None
        self._read_directory()
        if not database.count("user") and not settings.true(
            "security", "disable_initial_admin_creation"
        ):
            name = settings.text("security", "admin_user", "admin")
            self.create(
                name, settings.text("security", "admin_password", "admin"),
                role="Admin", is_admin=1,
                email=settings.text("security", "admin_email", f"{name}@localhost"),
            )  # fmt: skip

    def _read_directory(self) -> None:
        if not self.settings.true("auth.ldap", "enabled"):
            return
        path = self.settings.path("auth.ldap", "config_file")
        Logger("ldap").info("LDAP enabled, reading config file", file=path)
        try:
            self.servers = directory.read(path)
        except directory.ConfigError as error:
            Logger("ldap.service").error("Failed to get LDAP config", error=error)

    # --- users ---

    def create(self, login: str, password: str = "", **values: object) -> int:
        salt = secrets.token_hex(5)
        columns: dict[str, object] = {
            "uid": secrets.token_hex(7), "login": login, "email": "", "name": "", "salt": salt,
            "password": password_hash(password, salt) if password else "", "role": "Viewer",
            "is_admin": 0, "is_disabled": 0, "is_service_account": 0, "created": now(),
            "last_seen_at": now(),
        }  # fmt: skip
        return self.database.insert("user", **{**columns, **values})

    @staticmethod
    def set_password_of(database: Database, user_id: int, password: str) -> None:
        salt = secrets.token_hex(5)
        database.update("user", "id", user_id, salt=salt, password=password_hash(password, salt))

    def by_id(self, user_id: int) -> Row | None:
        return self.database.one('SELECT * FROM "user" WHERE id = ?', user_id)

    def by_login(self, login: str) -> Row | None:
        return self.database.one(
            'SELECT * FROM "user" WHERE is_service_account = 0 '
            "AND (lower(login) = ? OR lower(email) = ?)",
            login.lower(), login.lower(),
        )  # fmt: skip

    def is_external(self, user_id: int) -> bool:
        return self.database.count("user_auth", "user_id = ?", user_id) > 0

    # --- passwords ---

    def sign_in(self, username: str, password: str) -> Identity:
        """LDAP first where it is on, then local users, as Grafana asks them."""
        since = time.time() - ATTEMPTS_WINDOW_SECONDS
        wrong = self.database.count(
            "login_attempt", "username = ? AND at > ?", username.lower(), since
        )
        if self.protected and wrong >= self.max_attempts:
            raise SignInError(
                "too many consecutive incorrect login attempts for user - "
                "login for user temporarily blocked"
            )
        if not password:
            raise SignInError("no password provided")
        reasons = []
        for ask in (self._directory, self._local):
            try:
                user = ask(username, password)
            except SignInError as error:
                reasons.append(str(error))
                continue
            if user["is_disabled"]:
                refused = SignInError("identity is disabled", "Unauthorized")
                refused.message_id = "identity.disabled"
                raise refused
            self.database.delete("login_attempt", username=username.lower())
            return Identity(user, "password")
        if self.protected:
            self.database.insert("login_attempt", username=username.lower(), at=time.time())
        raise SignInError(f"failed to authenticate identity: {'; '.join(reasons)}")

    def _local(self, username: str, password: str) -> Row:
        user = self.by_login(username)
        if not user:
            raise SignInError("no user found: user not found")
        if not password_is(password, user["salt"], user["password"]):
            raise SignInError("invalid password")
        return user

    def _directory(self, username: str, password: str) -> Row:
        if not self.settings.true("auth.ldap", "enabled"):
            raise SignInError("LDAP not enabled")
        if self.servers is None:
            raise SignInError("unable to create LDAP client")
        try:
            person = directory.sign_in(self.servers, username, password)
        except directory.UserNotFoundError as error:
            known = self.by_login(username)
            if known and self.is_external(known["id"]):
                self.database.update("user", "id", known["id"], is_disabled=1)
                Logger("ldap").info(
                    "User was removed from the LDAP directory tree, disabling it", username=username
                )
            raise SignInError(f"no user found: {error}") from None
        except (directory.CredentialsError, directory.DirectoryError) as error:
            raise SignInError(f"LDAP: {error}") from None
        return self._synced(person)

    def _synced(self, person: directory.Person) -> Row:
        """Write what the directory says of a user: names, role, and that they are enabled."""
        linked = self.database.one(
            "SELECT user_id AS id FROM user_auth WHERE auth_id = ?", person.dn
        )
        user = (
            linked or (person.email and self.by_login(person.email)) or self.by_login(person.login)
        )
        if not user:
            if not self.settings.true("auth.ldap", "allow_sign_up"):
                raise SignInError("system administrator has disabled signup", "Sign up is disabled")
            user = {"id": self.create(person.login)}
        values: dict[str, object] = {
            "login": person.login,
            "email": person.email,
            "name": person.name,
        }
        if not self.settings.true("auth.ldap", "skip_org_role_sync"):
            values["is_admin"] = int(person.server_admin)
            if person.role:
                values["role"] = person.role
        self.database.update("user", "id", user["id"], is_disabled=0, **values)
        self.database.delete("user_auth", user_id=user["id"])
        self.database.insert("user_auth", user_id=user["id"], auth_module="ldap", auth_id=person.dn)
        found = self.by_id(user["id"])
        if not found:
            raise SignInError("user not found")
        return found

    # --- sessions and tokens ---

    def open_session(self, user_id: int) -> str:
        token = secrets.token_hex(16)
        at = time.time()
        self.database.insert(
            "user_auth_token", user_id=user_id, auth_token=token_hash(token, self.secret_key),
            created_at=at, seen_at=at,
        )  # fmt: skip
        return token

    def close_session(self, token: str) -> None:
        self.database.delete("user_auth_token", auth_token=token_hash(token, self.secret_key))

    def close_sessions_of(self, user_id: int) -> None:
        self.database.delete("user_auth_token", user_id=user_id)

    def by_session(self, token: str) -> Identity | None:
        session = self.database.one(
            "SELECT * FROM user_auth_token WHERE auth_token = ? AND created_at > ? AND seen_at > ?",
            token_hash(token, self.secret_key),
            time.time() - self.lifetime,
            time.time() - self.idle,
        )  # fmt: skip
        user = session and self.by_id(session["user_id"])
        if not session or not user or user["is_disabled"]:
            return None
        self.database.update("user_auth_token", "id", session["id"], seen_at=time.time())
        self.database.update("user", "id", user["id"], last_seen_at=now())
        return Identity(user, "session")

    def by_basic(self, header: str) -> Identity:
        try:
            name, _, password = base64.b64decode(header, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise SignInError("invalid basic auth header") from None
        if name == "api_key":
            return self.by_token(password)
        return self.sign_in(name, password)

    def by_token(self, token: str) -> Identity:
        key = self.database.one(
            "SELECT * FROM api_key WHERE key = ?", hashlib.sha256(token.encode()).hexdigest()
        )
        user = key and self.by_id(key["service_account_id"])
        refused = SignInError("invalid API key", "Invalid API key")
        refused.message_id = "api-key.invalid"
        if (
            not key
            or not user
            or user["is_disabled"]
            or (key["expires"] and key["expires"] < now())
        ):
            raise refused
        self.database.update("api_key", "id", key["id"], last_used_at=now())
        return Identity(user, "token")

    def make_token(self, account_id: int, name: str, seconds_to_live: int) -> tuple[int, str]:
        token = f"glsa_{secrets.token_urlsafe(24)}_{secrets.token_hex(4)}"
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds_to_live))
        made = self.database.insert(
            "api_key", service_account_id=account_id, name=name, created=now(),
            last_used_at="", key=hashlib.sha256(token.encode()).hexdigest(),
            expires=until if seconds_to_live else "",
        )  # fmt: skip
        return made, token
