"""Bugsink's configuration: what the inventory says (settings.json), and what a site needs."""

import json
from pathlib import Path

from bugsink.conf_utils import deduce_allowed_hosts, deduce_script_name
from bugsink.settings.default import *  # noqa: F403
from bugsink.settings.default import DATABASES, LOGGING

HERE = Path(__file__).parent
SITE = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
STATE = Path(SITE["state_dir"])

SECRET_KEY = (HERE / "secrets/secret_key").read_text(encoding="utf-8")
ALLOWED_HOSTS = deduce_allowed_hosts(SITE["url"])

# --- behind the gateway, which takes the path off and says who came ---

FORCE_SCRIPT_NAME = deduce_script_name(SITE["url"])
STATIC_URL = f"{FORCE_SCRIPT_NAME or ''}/static/"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
USE_X_REAL_IP = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
# Other services live below the gateway's name, and need not see it.
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{FORCE_SCRIPT_NAME or ''}/"
SESSION_COOKIE_AGE = SITE["session_seconds"]

# --- where it keeps things ---

DATABASES["default"]["NAME"] = str(STATE / "db.sqlite3")
if SITE["database"]:
    DATABASES["default"] = {
        **SITE["database"],
        "PASSWORD": (HERE / "secrets/database_password").read_text(encoding="utf-8"),
    }
# What waits for its digestion: a queue of this host, also beside PostgreSQL.
DATABASES["snappea"]["NAME"] = str(STATE / "snappea.sqlite3")
SNAPPEA = {
    "NUM_WORKERS": 2,
    "PID_FILE": None,
    "WAKEUP_CALLS_DIR": str(STATE / "wakeup"),
    "STATS_RETENTION_MINUTES": 60 * 24,
}

# --- log: what somebody has to see ---

# The gateway logs each request that is refused; here it would be a traceback with the key in it.
LOGGING["loggers"]["django.request"] = {"level": "ERROR"}
# Two lines for each event otherwise.
LOGGING["loggers"]["snappea"]["level"] = "WARNING"

# --- mail ---

EMAIL_BACKEND = "bugsink.email_backends.QuietConsoleEmailBackend"
if SITE["smtp"]["smarthost"]:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST, port = SITE["smtp"]["smarthost"].split(":")
    EMAIL_PORT = int(port)
SERVER_EMAIL = DEFAULT_FROM_EMAIL = SITE["smtp"]["from"]

TIME_ZONE = "UTC"

BUGSINK = {
    "BASE_URL": SITE["url"],
    "SITE_TITLE": SITE["title"],
    "USER_REGISTRATION": "CB_ADMINS",
    "TEAM_CREATION": "CB_ADMINS",
    "MAX_EVENT_AGE_DAYS": SITE["retention_days"],
    "MAX_STORED_FILE_BYTES": 1_000_000_000,
    "INGEST_STORE_BASE_DIR": str(STATE / "ingestion"),
    # Nothing calls home.
    "PHONEHOME": False,
}
