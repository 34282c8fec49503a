"""The rows of a sweep in a database that other sweeps share."""

from __future__ import annotations

from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import known_index
from hpcsweep.sweepdir.directory import SweepDirectory


def shared_index(sweep: SweepDirectory) -> SweepIndex | None:
    """The index of a sweep in PostgreSQL; None without one, or if it is a file of the sweep's own.

    Also None for a copy by hand: the rows are those of the original. *Raises* StoreError.
    """
    sweep_index = known_index(sweep) if sweep.submissions() else None
    return sweep_index if sweep_index is not None and sweep_index.dialect != "sqlite" else None
