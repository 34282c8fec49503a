"""The index of a sweep: SQL tables over its journals; they can be rebuilt from the journals."""

from hpcsweep.store.sweep_index import SweepIndex

__all__ = ["SweepIndex"]
