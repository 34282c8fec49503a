"""Resolve the selection of a command, and say if it selects no case."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.cli.notices import notify
from hpcsweep.indexset import IndexSet
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.selection import Selection, selected_cases


def selected(selection: Selection, version: Version, path: Path) -> IndexSet | None:
    """The selected indices of a manifest that may not be submitted yet; None for all."""
    indices = selected_cases(selection, version, path)
    if indices is not None and not indices:
        notify(selection.nothing_found)
    return indices


def selected_of(selection: Selection, sweep: SweepDirectory) -> IndexSet | None:
    """The selected indices of a sweep; None for all."""
    return selected(selection, sweep.newest(), sweep.path) if selection else None
