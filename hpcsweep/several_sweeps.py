"""Results of several sweeps as one table, in the Python door."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hpcsweep.errors import InputError
from hpcsweep.sweep import Sweep
from hpcsweep.sweep.result_tables import ResultTables, Take
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.several import collect_several


def collect(sweeps: Sweep | str | Path | Iterable[Sweep | str | Path]) -> SeveralSweeps:
    """Put sweeps, or those of these names and directories, into one table; see `hpcsweep collect`.

    Its `query`, `to_dataframe` and `to_arrow` have a column `sweep` before all others.
    *Raises* InputError for none, or for one that is named twice.

    Examples:
        >>> hs.collect(["swing"]).query(columns=["sweep", "omega"], limit=1)
        [{'sweep': 'swing', 'omega': 1.0}]
    """
    if isinstance(sweeps, str | Path | Sweep):
        sweeps = [sweeps]
    opened = [one if isinstance(one, Sweep) else Sweep(str(one)) for one in sweeps]
    if not opened:
        raise InputError("there is no sweep to collect", where="sweeps", next_step="Name some.")
    return SeveralSweeps(opened)


class SeveralSweeps(ResultTables):
    """Sweeps whose results are read as one table; `collect` makes it."""

    def __init__(self, sweeps: Iterable[Sweep]) -> None:
        """Describe the table of these sweeps, in this order."""
        self._sweeps = tuple(sweeps)

    def _collect(self, take: Take, request: TableRequest) -> list[SweepDirectory]:
        settings = self._sweeps[0]._settings  # noqa: SLF001  # of our own
        pairs = [sweep._on_cluster for sweep in self._sweeps]  # noqa: SLF001
        collect_several(pairs, settings, take, request)
        return [directory for directory, _ in pairs]

    def __repr__(self) -> str:
        return f"<SeveralSweeps {', '.join(sweep.name for sweep in self._sweeps)}>"
