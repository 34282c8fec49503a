"""The clusters, and which of many kills are tried today, for all tests of faults."""

from __future__ import annotations

import datetime

import pytest

from tests.support.clusters import cluster, emulated, own_cluster, own_emulated

__all__ = ["cluster", "emulated", "own_cluster", "own_emulated", "turn"]


@pytest.fixture
def turn() -> int:
    """A number that changes each day: every k-th kill is tried, from another offset."""
    return datetime.datetime.now(datetime.UTC).date().toordinal()
