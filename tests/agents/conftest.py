"""The agents start programs of the distribution, which is not installed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from backup_stage import new_repository, real_stage, stage

# Fixtures of the backup's tests
__all__ = ["new_repository", "real_stage", "stage"]


@pytest.fixture(autouse=True)
def distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "files/agents/src"))
