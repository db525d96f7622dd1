"""How gunicorn serves Bugsink: one process, and TLS from both sides."""

import json
from pathlib import Path

SITE = json.loads((Path(__file__).parent / "settings.json").read_text(encoding="utf-8"))

bind = SITE["bind"]
# SQLite has one writer, and small hosts have little memory: threads, not processes.
workers = 1
worker_class = "gthread"
threads = 4
# Longer than nginx keeps a connection to it (60 s): a POST is never sent twice.
keepalive = 75
timeout = 60
# It waits so long for connections that nginx keeps open, too, before it ends.
graceful_timeout = 5
control_socket_disable = True

# Who shows no certificate that the site's CA made for a client gets no further.
certfile = SITE["tls"]["certificate"]
keyfile = SITE["tls"]["key"]
ca_certs = SITE["tls"]["ca"]
cert_reqs = 2  # ssl.CERT_REQUIRED

# The gateway keeps the log of requests; this is about the process.
accesslog = None
errorlog = "-"
loglevel = "warning"
