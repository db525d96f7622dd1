"""A small server that answers as Grafana does: a test double, for machines without Grafana."""

VERSION = "12.0.0-standin"
