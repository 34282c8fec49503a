"""What the pages of a report read: state and tables of one sweep, each read once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.report.case_table import CaseTable, read_cases
from hpcsweep.settings import Settings
from hpcsweep.state.efficiency import Efficiency, resource_uses
from hpcsweep.state.executions import (
    ExecutionReader,
    Executions,
    all_executions,
    repeated_cases,
)
from hpcsweep.state.status import status
from hpcsweep.state.summary import Summary
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import argument_for
from hpcsweep.tables.collect import OpenSweep, opened
from hpcsweep.tables.selection import Selection, selected_cases

# Cases with several attempts of which each attempt is read.
REPEATED_MAX = 20_000


@dataclass(frozen=True, kw_only=True)
class ReportSource:
    """State and tables of one sweep, at one moment."""

    sweep: SweepDirectory
    summary: Summary
    open_sweep: OpenSweep
    # When it was read.
    made: datetime
    # The only cases that are read, None for all; and by what they were selected.
    within: IndexSet | None
    selection: Selection

    @property
    def selected(self) -> str:
        """How many cases were selected, and by what; empty for all."""
        if self.within is None:
            return ""
        of_all = counted(self.open_sweep.outlook.version.source.n_cases, "case")
        return f"This report is about {self.within.count} of {of_all}: {self.selection}"

    @cached_property
    def efficiency(self) -> Efficiency:
        """What its tasks asked for, and its cases used."""
        uses = resource_uses(self.sweep, self.executions)
        return Efficiency(name=self.sweep.name, uses=uses)

    @property
    def cases(self) -> CaseTable:
        """The cases that were begun, column by column."""
        return self._read[0]

    @property
    def executions(self) -> Executions:
        """The attempts that began; of `repeated_read` all of them, of other cases the last one."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[CaseTable, Executions]:
        reader = ExecutionReader(self.repeated_read)
        cases = read_cases(self.open_sweep, reader, self.within)
        executions = all_executions(reader, self.open_sweep.sweep_index)
        if np.array_equal(executions.index, cases.indices):
            executions = replace(executions, index=cases.indices)
        return cases, executions

    @cached_property
    def repeated(self) -> IndexSet:
        """The cases with several attempts."""
        found = repeated_cases(self.open_sweep.sweep_index)
        return found if self.within is None else found & self.within

    @property
    def repeated_read(self) -> IndexSet:
        """Those of them whose earlier attempts are read."""
        return self.repeated.slice(0, min(REPEATED_MAX, self.repeated.count))


@contextmanager
def report_source(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    selection: Selection | None = None,
) -> Iterator[ReportSource]:
    """Bring the index up to date, and poll the cluster if that is due. *Writes* as `status`.

    *Raises* SweepError, StoreError; InputError for a selection that is none, or has no case.
    """
    selection = selection or Selection()
    within = selected_cases(selection, sweep.newest(), sweep.path) if selection else None
    if within is not None and not within:
        argument = argument_for(sweep.name, sweep.shown_path)
        raise InputError(
            f"{selection.nothing_found}; a report needs one",
            next_step=f"`hpcsweep collect {argument}` shows what there is.",
        )
    summary = status(sweep, cluster, settings, within=within)
    with opened(sweep, cluster, settings) as open_sweep:
        outlook = open_sweep.outlook
        outlook = outlook if within is None else outlook.within(within)
        yield ReportSource(
            sweep=sweep,
            summary=summary,
            open_sweep=replace(open_sweep, outlook=outlook),
            made=datetime.now(UTC),
            within=within,
            selection=selection,
        )
