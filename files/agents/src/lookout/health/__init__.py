"""Health checks: what is wrong on this host, and what of that changed since the last run."""

# Before prometheus_client, which reads at its import what the kit sets.
import lookout.kit  # noqa: F401
