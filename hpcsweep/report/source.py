"""What the pages of a report read: state and tables of one sweep, each read once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from hpcsweep.cluster.base import Cluster
from hpcsweep.report.case_table import CaseTable, read_cases
from hpcsweep.settings import Settings
from hpcsweep.state.efficiency import Efficiency, efficiency
from hpcsweep.state.status import status
from hpcsweep.state.summary import Summary
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.collect import OpenSweep, opened


@dataclass(frozen=True, kw_only=True)
class ReportSource:
    """State and tables of one sweep, at one moment."""

    sweep: SweepDirectory
    summary: Summary
    open_sweep: OpenSweep
    # When it was read.
    made: datetime

    @cached_property
    def efficiency(self) -> Efficiency:
        """What its tasks asked for, and its cases used."""
        return efficiency(self.sweep)

    @cached_property
    def cases(self) -> CaseTable:
        """The cases that were begun, column by column."""
        return read_cases(self.open_sweep)


@contextmanager
def report_source(
    sweep: SweepDirectory, cluster: Cluster | None, settings: Settings
) -> Iterator[ReportSource]:
    """Bring the index up to date, and poll the cluster if that is due. *Writes* as `status`.

    *Raises* SweepError, StoreError.
    """
    summary = status(sweep, cluster, settings)
    with opened(sweep, cluster, settings) as open_sweep:
        yield ReportSource(
            sweep=sweep, summary=summary, open_sweep=open_sweep, made=datetime.now(UTC)
        )
