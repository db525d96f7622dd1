"""Health checks: every few minutes they look at the host, and say what changed since the last time."""
