"""What every agent needs: configuration, logging, metrics, reports of errors, signals, systemd."""

import os

# Read when prometheus_client is imported: no second series that says when each counter began.
os.environ.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "true")
