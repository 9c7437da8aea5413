"""Fixtures of the workers' tests."""

from tests.workers.conftest import gateway, settings

__all__ = ["gateway", "settings"]
