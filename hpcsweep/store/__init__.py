"""The store: SQL tables that index a sweep's journals, and can be made again from them."""

from hpcsweep.store.sweep_index import SweepIndex

__all__ = ["SweepIndex"]
