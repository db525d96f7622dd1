"""The sensor service: what a robot measures of itself, served to Prometheus and as a page."""

# Before prometheus_client, which reads at its import what the kit sets.
import lookout.kit  # noqa: F401
