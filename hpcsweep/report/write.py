"""Write the report of a sweep."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.cluster.base import Cluster
from hpcsweep.files import replace
from hpcsweep.report.document import document
from hpcsweep.report.pages import page_data
from hpcsweep.report.source import report_source
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import SweepDirectory


def write_report(
    sweep: SweepDirectory, cluster: Cluster | None, settings: Settings, output: Path | None = None
) -> Path:
    """Write the report of a sweep, by default `report.html` in its directory. Returns the path.

    *Raises* SweepError, StoreError. *Writes* the file, and as `status`. *Safe to repeat.*
    """
    place = Path() if sweep.archive else sweep.path
    path = output or place / "report.html"
    with report_source(sweep, cluster, settings) as source:
        text = document(source, page_data(source))
    replace(path, text.encode())
    return path
