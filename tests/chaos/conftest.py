"""The same gateway as in the workers' own tests."""

from tests.workers.conftest import hospital, settings

__all__ = ["hospital", "settings"]
