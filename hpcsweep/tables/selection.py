"""The selection: which cases a command means. Every command resolves it here, to indices."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.state.changed_inputs import with_changed_inputs
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.outlook import Outlook, outlook_of, refused
from hpcsweep.state.scheduler import poll
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.batches import ROWS_AT_ONCE
from hpcsweep.tables.column_names import INPUTS_CHANGED
from hpcsweep.tables.columns import TableColumns, columns_of, fields
from hpcsweep.tables.named_cases import (
    ID_DIGITS,
    NewCases,
    may_be_index,
    named_cases,
    one_case,
    params_made,
    refuse_too_many,
)
from hpcsweep.tables.sql_columns import SqlColumn, among_column

# To look up the row of one case takes as long as to read so many in a search of all.
SEARCHED_ALONE = 4
# Characters of an option's value in a message.
SHOWN_MAX = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which cases a command means: those that satisfy all of it; by default all."""

    # Indices, ranges, case ids and beginnings of them, with commas; or `@FILE`, or a list.
    cases: str | Iterable[int | str] | None = None
    # A condition over columns, see `where`.
    where: str | None = None
    # Values of `Status`, as `collect` shows it.
    status: tuple[str, ...] = ()
    # Number of a submission: no later one sent the case.
    last: int | None = None

    def __post_init__(self) -> None:
        """*Raises* InputError for what is no status."""
        for word in self.status:
            if word not in set(Status):
                raise InputError(
                    f"{word!r} is not a status",
                    where="--status",
                    next_step=f"Statuses: {', '.join(Status)}.",
                )

    def __bool__(self) -> bool:
        return bool(self.status) or (self.cases, self.where, self.last) != (None, None, None)

    def __str__(self) -> str:
        """The options that select these cases, for messages."""
        cases = self.cases if isinstance(self.cases, str | None) else ",".join(map(str, self.cases))
        options = {
            "--cases": cases,
            "--where": self.where,
            "--status": ",".join(self.status) or None,
            "--last": self.last,
        }
        given = ((name, str(value)) for name, value in options.items() if value is not None)
        return " ".join(f"{name} {shlex.quote(_abbreviated(text))}" for name, text in given)

    @property
    def nothing_found(self) -> str:
        """What to say where it selects no case."""
        return f"no case is selected: {self}"


def selected_cases(selection: Selection, version: Version, path: Path) -> IndexSet | None:
    """The selected indices, in the order of `version`; None for all.

    `path` is the sweep directory, which may not exist yet. The state of cases is what journals and
    earlier polls say; no cluster is asked. *Raises* InputError. *Writes* the index.
    """
    if not selection:
        return None
    sweep = SweepDirectory.open(path) if (path / MARKER).is_file() else None
    if sweep is None or not sweep.submissions():
        return CaseSelector(outlook=Outlook.of_nothing(version)).select(selection)
    with fresh_index(sweep) as sweep_index:
        tasks = poll(sweep, sweep_index, None, Settings())
        outlook = outlook_of(sweep, sweep_index, tasks, version)
        return CaseSelector(outlook=outlook, sweep=sweep, sweep_index=sweep_index).select(selection)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseSelector:
    """Selects cases of one sweep, by what is known of them."""

    outlook: Outlook
    # None before the first submission.
    sweep: SweepDirectory | None = None
    # As up to date as the outlook.
    sweep_index: SweepIndex | None = None
    # The columns of all cases; None: those of the cases that a condition is tried on.
    columns: TableColumns | None = None

    def select(
        self, selection: Selection, limit: int | None = None, within: IndexSet | None = None
    ) -> IndexSet | None:
        """The selected indices, `within` others if they are given; None for all.

        With `limit` at least the first ones: a condition is not tried on more cases than it needs.
        *Raises* InputError.
        """
        if not selection:
            return within
        selected = IndexSet.all(self._n_cases) if within is None else within
        if selection.cases is not None:
            selected &= self._named(selection.cases)
        if selection.last is not None:
            selected &= self._sent_last(selection.last)
        if selection.status:
            selected &= self._with_status(selection.status)
        if selection.where is not None:
            selected = self._matching(selected, selection.where, limit)
        return selected

    @property
    def _n_cases(self) -> int:
        return self.outlook.version.source.n_cases

    def _named(self, cases: str | Iterable[int | str]) -> IndexSet:
        named = named_cases(cases, self._n_cases)
        if not named.ids:
            return named.indices
        begun = self._begun_of_ids(named.ids)
        # Digits that are no index are looked up where that costs nothing: most are a mistake.
        missing = [prefix for prefix in named.ids if not begun.get(prefix)]
        for prefix in filter(may_be_index, missing):
            one_case(prefix, {}, self._n_cases)
        indices_of_ids = [one_case(prefix, of, self._n_cases) for prefix, of in begun.items() if of]
        indices = self._in_order(_union(indices_of_ids))
        if missing:
            new = NewCases(self.outlook.version.source, self.outlook.not_begun, missing)
            indices |= _union(
                [one_case(prefix, new.find(prefix), self._n_cases) for prefix in missing]
            )
        return named.indices | indices

    def _begun_of_ids(self, ids: list[str]) -> dict[str, dict[str, list[int]]]:
        """By beginning: the indices of begun cases, by case id."""
        if self.sweep_index is None:
            return {}
        whole = [prefix for prefix in ids if len(prefix) == ID_DIGITS]
        by_id = self.sweep_index.of_ids(whole)
        by_prefix: dict[str, dict[str, list[int]]] = {key: {key: by_id[key]} for key in by_id}
        for prefix in {*ids} - {*whole}:
            of = by_prefix.setdefault(prefix, {})
            for row in self.sweep_index.find(prefix):
                of.setdefault(row["case_id"], []).append(row["idx"])
        return by_prefix

    def _sent_last(self, number: int) -> IndexSet:
        numbers = self.sweep.submissions() if self.sweep else []
        if self.sweep is None or number not in numbers:
            raise InputError(
                f"there is no submission {number!r}",
                where="--last",
                next_step=f"The last one is {numbers[-1]}."
                if numbers
                else "Nothing was submitted yet.",
            )
        selected = IndexSet()
        for submission in numbers[numbers.index(number) :]:
            plan, _ = self.sweep.plan(submission)
            sent = [plan.indices - refused(self.sweep, plan)]
            (indices,) = in_order_of(self.outlook.version, self.sweep, plan.manifest, sent)
            selected = indices if submission == number else selected - indices
        return selected

    def _with_status(self, statuses: tuple[str, ...]) -> IndexSet:
        of_new = IndexSet.union(
            group.indices for group in self.outlook.groups if group.status.value in statuses
        )
        selected = of_new - self.outlook.begun
        if self.sweep_index is not None:
            selected |= self._in_order(self.sweep_index.with_status(*statuses))
        return selected

    def _matching(self, within: IndexSet, where: str, limit: int | None) -> IndexSet:
        # The compiler of conditions, 5 ms: most selections have none.
        from hpcsweep.tables.matching import matching_new  # noqa: PLC0415
        from hpcsweep.tables.where import parse  # noqa: PLC0415

        never = within - self.outlook.begun
        refuse_too_many(never, "params", "--where")
        sql_columns = self._sql_columns(never, where)
        selected = matching_new(self.outlook, never, where, sql_columns, limit)
        if self.sweep_index is not None:
            condition = parse(where, sql_columns, self.sweep_index.dialect)
            selected |= self._matching_begun(self.sweep_index, within, condition, limit)
        return selected

    def condition(self, where: str) -> ColumnElement[bool] | None:
        """A condition on rows of the index; None without one. *Raises* InputError."""
        from hpcsweep.tables.where import parse  # noqa: PLC0415  # as above

        if self.sweep_index is None:
            return None
        return parse(where, self._sql_columns(IndexSet(), where), self.sweep_index.dialect)

    def _sql_columns(self, never: IndexSet, where: str) -> dict[str, SqlColumn]:
        """The columns of a condition that is tried on rows of the index and these other cases."""
        columns = self.columns
        if columns is None:
            new = params_made(self.outlook.version.source, never)
            columns = columns_of(self.sweep_index, new)
        numbers = self.sweep_index.number_columns() if self.sweep_index else None
        sql_columns = fields(columns, self.outlook.code_digest, numbers)
        if not self._keeps_order:
            del sql_columns["index"]  # of a row, it is the one of another manifest
        elif INPUTS_CHANGED in columns.on_demand:
            sql_columns[INPUTS_CHANGED] = self._inputs_changed(where)
        return sql_columns

    def _inputs_changed(self, where: str) -> SqlColumn:
        """Whether the inputs of a case have changed: looked at if the condition may ask for it."""
        if self.sweep is None or self.sweep_index is None:
            return among_column(IndexSet(), "sqlite")
        outlook = self.outlook
        if INPUTS_CHANGED in where:
            outlook = with_changed_inputs(outlook, self.sweep, self.sweep_index, asked=True)
        return among_column(outlook.changed, self.sweep_index.dialect)

    def _matching_begun(
        self,
        sweep_index: SweepIndex,
        within: IndexSet,
        condition: ColumnElement[bool],
        limit: int | None,
    ) -> IndexSet:
        """The indices of begun cases that satisfy a condition; at least the first `limit`."""
        if self._keeps_order:
            begun = within & self.outlook.begun
            if SEARCHED_ALONE * begun.count < self.outlook.begun.count:
                return sweep_index.indices(condition, begun)
            if limit is not None:
                first = sweep_index.indices(condition, begun.slice(0, ROWS_AT_ONCE))
                if first.count >= limit:
                    return first
        return within & self._in_order(sweep_index.indices(condition))

    @property
    def _keeps_order(self) -> bool:
        """Whether cases have the indices that they have in the index."""
        if self.sweep is None:
            return True
        return self.sweep.newest().manifest.orders_like(self.outlook.version.manifest)

    def _in_order(self, indices: IndexSet) -> IndexSet:
        """Translate indices of the index into indices of this manifest."""
        if self.sweep is None:
            return indices
        newest = self.sweep.newest_manifest()
        return in_order_of(self.outlook.version, self.sweep, newest, [indices])[0]


def _abbreviated(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def _union(lists: Iterable[list[int]]) -> IndexSet:
    return IndexSet.of(sorted(index for indices in lists for index in indices))
