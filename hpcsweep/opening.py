"""`open`: read any sweep, archive, run directory or store of another library as one table."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcsweep.conditions.evaluation import compile_condition
from hpcsweep.conditions.syntax import parse
from hpcsweep.errors import Damaged, HpcsweepError, InputError, SweepError
from hpcsweep.files import unreadable
from hpcsweep.html_table import facts_html
from hpcsweep.other_results.registry import read_runs
from hpcsweep.other_results.run import OtherRun
from hpcsweep.records import Status
from hpcsweep.state.summary import counts_text
from hpcsweep.store.column_kinds import ColumnKinds, learn
from hpcsweep.sweep import Sweep
from hpcsweep.sweep.result_tables import ResultTables, Take
from hpcsweep.sweepdir.archive import is_archive
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.tables.collect import TableAndRows, answer, in_shape
from hpcsweep.tables.column_names import flatten
from hpcsweep.tables.columns import TableColumns, TableRow, all_columns, named
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.selection import Selection
from hpcsweep.tables.sorting import sorted_rows

FIRST = {"index": "int", "run_id": "str", "group": "str", "status": "str"}
LAST = {"started": "str", "ended": "str", "path": "str", "error": "str"}
# What names a sweep by its manifest.
MANIFESTS = (".yaml", ".yml", ".json")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def open(path: str | Path) -> Sweep | OtherResults:  # noqa: A001  # as in gzip
    """Read results by their path, whatever wrote them.

    Args:
        path: The directory, name, manifest or archive of a sweep; a run directory, or a directory
            of them, of `Logbook`, `Experiment` or notata; the file store of metalab, or one of its
            experiments; a SQLite file with tables of `Store` or entropic, or a TinyDB of entropic.

    Returns:
        A sweep, or results that have the same `query`, `to_dataframe` and `to_arrow`.

    Raises:
        SweepError: For a path without results.

    Examples:
        >>> hs.open("outputs/swing").query(columns=["omega", "energy"], limit=1)
        [{'omega': 1.0, 'energy': 0.5}]
        >>> with hs.Logbook("past", base_dir="past", params={"omega": 3.0}) as log:
        ...     log.json("metrics", {"energy": 4.5})
        >>> hs.open("past").query(columns=["run_id", "omega", "energy"])
        [{'run_id': 'past', 'omega': 3.0, 'energy': 4.5}]
    """
    place = Path(path)
    try:
        is_sweep = (place / MARKER).is_file() or (place.is_file() and is_archive(place))
        runs = None if is_sweep or not place.exists() else read_runs(place)
    except OSError as error:
        raise unreadable(place, error) from error
    except Damaged:
        with contextlib.suppress(HpcsweepError):  # beside the one sweep of a project
            return Sweep(str(path))
        raise
    if runs is not None:
        return OtherResults(place, runs)
    if place.is_file() and not is_sweep and place.suffix not in MANIFESTS:
        raise SweepError(
            "has no results that are known",
            where=str(path),
            next_step="Known are sweeps and their archives; run directories of Logbook and notata; "
            "the file store of metalab; SQLite and TinyDB of Store and entropic.",
        )
    return Sweep(str(path))


class OtherResults(ResultTables):
    """Results of another library as one table; `open` makes it.

    Examples:
        >>> with hs.Logbook("seen", base_dir="seen") as log:
        ...     log.json("metrics", {"energy": 4.5})
        >>> hs.open("seen")
        <OtherResults in seen: 1 complete of 1>
    """

    def __init__(self, path: Path, runs: Iterable[OtherRun]) -> None:
        """Describe the runs of a path, in this order."""
        self.path: Path = path
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def counts(self) -> dict[Status, int]:
        """Count of runs by status.

        Examples:
            >>> with hs.Logbook("counted", base_dir="counted"):
            ...     pass
            >>> hs.open("counted").counts[hs.Status.COMPLETE]
            1
        """
        return {status: sum(run.status is status for run in self._runs) for status in Status}

    def __repr__(self) -> str:
        return f"<OtherResults in {self.path}: {counts_text(self.counts)} of {len(self)}>"

    def _repr_html_(self) -> str:
        facts = [(status.value, count) for status, count in self.counts.items() if count]
        return facts_html(f"{self.path}: {len(self)} runs", facts)

    def _collect(self, take: Take, request: TableRequest) -> list[SweepDirectory]:
        if request.attempts or request.selection.last is not None:
            raise InputError(
                "these results have neither attempts nor submissions",
                where=str(self.path),
                next_step="Leave out attempts and last.",
            )
        columns = self._columns()
        take(*answer(request, {"cases": columns}, self._table))
        return []

    def _table(self, request: TableRequest) -> TableAndRows:
        """The selected columns and rows."""
        columns = self._columns()
        holds = _test(request.selection, columns)
        rows: Iterator[TableRow] = (row for row in self._rows(columns) if holds(row))
        if request.shape:
            return in_shape(columns, rows, request)
        table = named(columns, request.columns, request.named_by)
        return table, sorted_rows(table, rows, request.order)

    def _columns(self) -> TableColumns:
        kinds = ColumnKinds({}, {}, {})
        learn(kinds.params, [run.params for run in self._runs])
        learn(kinds.metrics, [run.metrics for run in self._runs])
        columns = all_columns(kinds, FIRST, LAST, {})
        used = {name for run in self._runs for name in run.facts()}
        unused = {name for name in (FIRST | LAST) if name not in used | {"index"}}
        names = [name for name in columns.names if name not in unused]
        return replace(columns, names=names, on_demand=frozenset(unused))

    def _rows(self, columns: TableColumns) -> Iterator[TableRow]:
        for index, run in enumerate(self._runs):
            row: TableRow = {"index": index, **run.facts()}
            for names, values in ((columns.params, run.params), (columns.metrics, run.metrics)):
                row |= {names[keys]: value for keys, value in flatten(values).items()}
            yield row


def _test(selection: Selection, columns: TableColumns) -> Callable[[TableRow], bool]:
    """Whether a row is selected. *Raises* InputError."""
    tests: list[Callable[[TableRow], bool]] = []
    if selection.where:
        condition = parse(selection.where, columns.kinds, "--where", "column")
        tests.append(compile_condition(condition, "--where"))
    if selection.status:
        tests.append(lambda row: row["status"] in selection.status)
    if selection.cases is not None:
        tests.append(_cases_test(selection.cases))
    return lambda row: all(test(row) for test in tests)


def _cases_test(cases: str | Iterable[int | str]) -> Callable[[TableRow], bool]:
    """Whether a row is one of these: indices, ranges of them, or beginnings of run ids."""
    wanted = cases.split(",") if isinstance(cases, str) else list(cases)
    spans: list[tuple[int, int]] = []
    starts: list[str] = []
    for one in wanted:
        span = _RANGE.fullmatch(str(one).strip())
        if span:
            spans.append((int(span[1]), int(span[2] or span[1])))
        else:
            starts.append(str(one).strip())

    def is_wanted(row: dict[str, Any]) -> bool:
        inside = any(first <= row["index"] <= last for first, last in spans)
        return inside or any(row["run_id"].startswith(start) for start in starts)

    return is_wanted
