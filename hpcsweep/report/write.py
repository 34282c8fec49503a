"""Write the report of a sweep."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import StoreError
from hpcsweep.files import atomic_output, open_file, write_all
from hpcsweep.report.differences import differences
from hpcsweep.report.document import document, sections_of
from hpcsweep.report.pages import DIFFERENCES, PAGES, PageData, page_data, shown, without_data
from hpcsweep.report.source import report_source
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.compare import SweepComparison
from hpcsweep.tables.selection import Selection


def write_report(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    output: Path | None = None,
    selection: Selection | None = None,
) -> Path:
    """Write the report of a sweep, by default `report.html` in its directory. Returns the path.

    It has the selected cases alone if some are selected.

    *Raises* SweepError; InputError if no case is selected; StoreError after a report that says so.
    *Writes* the file, and as `status`. *Safe to repeat.*
    """
    place = Path() if sweep.archive else sweep.path
    path = output or place / "report.html"
    try:
        with report_source(sweep, cluster, settings, selection) as source:
            text = document(sweep.name, source.made, sections_of(page_data(source)))
    except StoreError as error:  # the index is damaged: the report tells how to make it again
        problem = sections_of([without_data(PAGES[0], error)])
        text = document(sweep.name, datetime.now(UTC), problem)
        _publish(path, text)
        raise
    _publish(path, text)
    return path


def write_differences(comparison: SweepComparison, output: Path | None = None) -> Path:
    """Write in what two sweeps or submissions differ, by default into `differences.html` here.

    Returns the path. *Writes* the file.
    """
    path = output or Path("differences.html")
    page = PageData(page=DIFFERENCES, data=shown(differences(comparison)))
    name = f"{comparison.a.label} → {comparison.b.label}"
    _publish(path, document(name, datetime.now(UTC), sections_of([page])))
    return path


def _publish(output: Path, text: str) -> None:
    """Write a file that others cannot read, but for the group of a shared sweep."""
    with atomic_output(output) as path:
        descriptor = open_file(path, os.O_WRONLY)
        try:
            write_all(descriptor, text.encode())
        finally:
            os.close(descriptor)
