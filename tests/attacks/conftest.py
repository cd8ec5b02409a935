"""Attacks on real processes need the same town as the end-to-end tests."""

from tests.e2e.conftest import pytest_runtest_makereport, town

__all__ = ["pytest_runtest_makereport", "town"]
