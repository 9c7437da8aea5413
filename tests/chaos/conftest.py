"""Fixtures of the workers' tests."""

from tests.workers.conftest import hospital, settings

__all__ = ["hospital", "settings"]
