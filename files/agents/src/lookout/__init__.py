"""The Python agents of Lookout: one package each, and `lookout.kit`, which they share."""

__version__ = "0.1.0"
