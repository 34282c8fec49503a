"""The clusters, for all tests of faults."""

from tests.support.clusters import cluster, emulated, own_cluster, own_emulated

__all__ = ["cluster", "emulated", "own_cluster", "own_emulated"]
