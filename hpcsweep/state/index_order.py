"""Translate indices of one manifest of a sweep into those of another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.sources.case_locator import CaseLocator
from hpcsweep.store import SweepIndex
from hpcsweep.store.case_groups import CaseGroup
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


def returned(version: Version, sweep: SweepDirectory, sweep_index: SweepIndex) -> list[CaseGroup]:
    """What is known of the cases that the newest manifest lacks, and `version` has again."""
    if version.fingerprint == sweep.newest_manifest():
        return []
    locator = CaseLocator(version.source)

    def place(row: dict[str, Any]) -> int | None:
        return locator.locate_case(row["case_id"], json.loads(row["params"]), row["replicate"])

    return sweep_index.unplaced_groups(place)
