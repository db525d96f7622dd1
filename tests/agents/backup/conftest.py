"""The stage of the backup's tests."""

from __future__ import annotations

from backup_stage import new_repository, real_stage, stage

__all__ = ["new_repository", "real_stage", "stage"]
