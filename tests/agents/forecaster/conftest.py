"""Fixtures of the forecaster's tests."""

from forecaster_stage import api, options, prometheus

__all__ = ["api", "options", "prometheus"]
