"""Translate indices of one manifest of a sweep into those of another."""

from __future__ import annotations

from collections.abc import Sequence

from hpcsweep.indexset import IndexSet
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version


def in_order_of(
    version: Version, sweep: SweepDirectory, fingerprint: str, sets: Sequence[IndexSet]
) -> list[IndexSet]:
    """Translate sets of indices of one of the sweep's manifests into indices of `version`."""
    if fingerprint == version.fingerprint or not any(sets):
        return list(sets)
    old = sweep.version(fingerprint)
    if version.manifest.extends(old.manifest):
        return list(sets)
    # It loads every kind of source, which a sweep whose manifest never changed has no use for.
    from hpcsweep.state.manifest_diff import remap  # noqa: PLC0415

    return remap(sets, old.source, version.source)
