"""Backups: save what roles registered, keep it, put it back, and prove that it can be."""
