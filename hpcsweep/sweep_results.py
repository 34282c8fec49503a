"""The verbs of the Python door that read what a sweep has; `Sweep` inherits them."""

from __future__ import annotations

from collections.abc import Sequence

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.indexset import IndexSet
from hpcsweep.project.whole_sweep import WholeSweep
from hpcsweep.result_tables import ResultTables, Take
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.logs import case_logs
from hpcsweep.state.efficiency import Efficiency, efficiency
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.collect import collect
from hpcsweep.tables.compare import PARAMS, SweepComparison, compare
from hpcsweep.tables.request import Cases, TableRequest, selection_of
from hpcsweep.tables.selection import Selection, selected_cases


class SweepResults(WholeSweep, ResultTables):
    """A sweep whose logs, tables and use of resources are read."""

    def logs(self, case: int | str) -> str:
        """What a case logged and printed, by index or case id."""
        directory = self._directory
        selection = Selection(cases=str(case))
        selected = selected_cases(selection, directory.newest(), directory.path)
        logs = next(case_logs(directory, selected or IndexSet(), DamageReport()))
        texts = [f"==> {where}\n{text}" for where, text in logs.texts]
        return f"case {logs.case_id}, index {logs.index}: {logs.state}\n" + "".join(texts)

    def compare(
        self,
        other: SweepResults,
        *,
        on: Sequence[str] = (PARAMS,),
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] = (),
        last: int | None = None,
    ) -> SweepComparison:
        """In what the sweep and another one differ; see `hpcsweep compare`."""
        sweeps = [self._on_cluster, other._on_cluster]
        return compare(sweeps, self._settings, on, selection_of(cases, where, status, last))

    def efficiency(self) -> Efficiency:
        """What its tasks asked for and its cases used; see `hpcsweep efficiency`."""
        return efficiency(self._directory)

    @property
    def _recorded_cluster(self) -> Cluster | None:
        return registry.open_recorded(self._directory, self._settings)

    @property
    def _on_cluster(self) -> tuple[SweepDirectory, Cluster | None]:
        return self._directory, self._recorded_cluster

    def _collect(self, take: Take, request: TableRequest) -> list[SweepDirectory]:
        collect(*self._on_cluster, self._settings, take, request)
        return [self._directory]
