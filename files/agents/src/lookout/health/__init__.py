"""Health checks: what is wrong on this host, and what of that changed since the last run."""
