"""The verbs that read what a sweep has: its state, logs, tables and use of resources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hpcsweep.indexset import IndexSet
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.logs import case_logs
from hpcsweep.state.log_following import LogPiece, follow_log
from hpcsweep.state.status import status
from hpcsweep.state.summary import Summary
from hpcsweep.sweep.base import SweepBase
from hpcsweep.sweep.result_tables import ResultTables, Take
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.collect import collect
from hpcsweep.tables.compare import PARAMS, SweepComparison, compare
from hpcsweep.tables.request import (
    Cases,
    TableRequest,
    selection_of,
)
from hpcsweep.tables.selection import Selection

if TYPE_CHECKING:
    from hpcsweep.state.efficiency import Efficiency


class ResultVerbs(ResultTables, SweepBase):
    """A sweep whose logs, tables and use of resources are read."""

    def status(self, *, check: bool = False) -> Summary:
        """The counts of the sweep's cases by status.

        With `check` it looks for the files of every complete case, and at its inputs: it counts
        what is `lost`, and whose inputs have `changed`.
        """
        return status(self._directory, self._recorded_cluster, self._settings, check=check)

    def logs(self, case: int | str) -> str:
        """What a case logged and printed, by index or case id."""
        selected = self._selected(Selection(cases=str(case)))
        logs = next(case_logs(self._directory, selected or IndexSet(), DamageReport()))
        texts = [f"==> {where}\n{text}" for where, text in logs.texts]
        return f"case {logs.case_id}, index {logs.index}: {logs.state}\n" + "".join(texts)

    def follow_log(self, case: int | str) -> Iterator[LogPiece]:
        """What a case logs and prints, with the name of the file, until it has ended.

        See `hpcsweep logs -f`. A piece whose `where` is empty is about the case itself.
        """
        for index in self._selected(Selection(cases=str(case))) or ():
            yield from follow_log(self._directory, index, self._recorded_cluster, self._settings)

    def compare(
        self,
        other: SweepBase,
        *,
        on: Sequence[str] = (PARAMS,),
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] = (),
        last: int | None = None,
    ) -> SweepComparison:
        """In what the sweep and another one differ; see `hpcsweep compare`."""
        sweeps = [one._on_cluster for one in (self, other)]  # noqa: SLF001  # of our own
        return compare(sweeps, self._settings, on, selection_of(cases, where, status, last))

    def efficiency(self) -> Efficiency:
        """What its tasks asked for and its cases used; see `hpcsweep efficiency`."""
        # Not at the top: it loads numpy.
        from hpcsweep.state.efficiency import efficiency  # noqa: PLC0415

        return efficiency(self._directory)

    def _collect(self, take: Take, request: TableRequest) -> list[SweepDirectory]:
        collect(*self._on_cluster, self._settings, take, request)
        return [self._directory]
