"""The columns of a table: their names, kinds and origins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from hpcsweep.conditions.names import unknown_name
from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import ColumnKinds, Keys, Kinds, learn, parse_documents
from hpcsweep.store.number_columns import NumberColumns
from hpcsweep.tables.column_names import FIRST, LAST, ON_DEMAND, flatten
from hpcsweep.tables.sql_columns import SqlColumn, stale_column

TableRow = dict[str, Any]
# Cases without a row in memory at once.
CASES_AT_ONCE = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumns:
    """The columns of a table, with the values they come from, and their types."""

    # Column by keys; a name that is taken gets the prefix "param.", "metric." or "carried.".
    params: dict[Keys, str]
    metrics: dict[Keys, str]
    # "int", "float", "bool", "str" or "json" by column, all columns in order.
    kinds: dict[str, str]
    # The selected columns, in the selected order.
    names: list[str]
    # Cells of a table that are no parameters, like `params`.
    carried: dict[Keys, str] = field(default_factory=dict)
    # Columns that are not selected unless they are named.
    on_demand: frozenset[str] = frozenset()

    @property
    def default_names(self) -> list[str]:
        """The columns that are selected if none is named."""
        return [name for name in self.kinds if name not in self.on_demand]

    @property
    def row_names(self) -> list[str]:
        """The columns of a row that is a dict: the default and the selected ones."""
        return list(dict.fromkeys([*self.default_names, *self.names]))


def all_columns(
    of: ColumnKinds,
    first: Mapping[str, str] = FIRST,
    last: Mapping[str, str] = LAST,
    on_demand: Mapping[str, str] = ON_DEMAND,
) -> TableColumns:
    """The columns of cases that have these values, by kind, all default ones selected.

    A param or metric takes the place of a column `on_demand` of its name.
    """
    # Sorted: the same order on every machine and database.
    kinds = dict(first)
    param_columns = _name(of.params, "param.", kinds, last)
    carried_columns = _name(of.carried, "carried.", kinds, last)
    metric_columns = _name(of.metrics, "metric.", kinds, last)
    kinds |= last
    more = {name: kind for name, kind in on_demand.items() if name not in kinds}
    return TableColumns(
        params=param_columns,
        metrics=metric_columns,
        kinds=kinds | more,
        names=list(kinds),
        on_demand=frozenset(more),
        carried=carried_columns,
    )


def named(columns: TableColumns, names: Sequence[str], where: str = "--columns") -> TableColumns:
    """The table with these columns, or all. *Raises* InputError for one that it does not have."""
    check_columns(names, columns.kinds, where)
    return replace(columns, names=list(names) or columns.names)


def check_columns(
    names: Iterable[str], known: Collection[str], where: str, what: str = "column"
) -> None:
    """*Raises* InputError for a name that is none of the known ones."""
    for name in names:
        if name not in known:
            raise unknown_name(name, known, where, what)


def _name(
    kinds: Kinds, prefix: str, taken: dict[str, str], last: Mapping[str, str]
) -> dict[Keys, str]:
    columns = {}
    for keys in sorted(kinds):
        name = ".".join(keys)
        while name in taken or name in last:
            name = prefix + name
        columns[keys] = name
        taken[name] = kinds[keys] or "json"
    return columns


def values_of(columns: Mapping[Keys, str], text: str) -> TableRow:
    """The values of these columns; names that appeared since have no column yet."""
    (document,) = parse_documents([text])
    values = flatten(document)
    return {columns[keys]: value for keys, value in values.items() if keys in columns}


def columns_of(
    sweep_index: SweepIndex | None, cases: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> TableColumns:
    """The columns of all rows of the index, and of cases without a row: params and carried."""
    kinds = sweep_index.kinds() if sweep_index else ColumnKinds({}, {}, {})
    new = iter(cases)
    while some := list(islice(new, CASES_AT_ONCE)):
        params, carried = zip(*some, strict=True)
        learn(kinds.params, params)
        learn(kinds.carried, carried)
    return all_columns(kinds)


def fields(
    columns: TableColumns, code_digest: str | None, numbers: NumberColumns | None
) -> dict[str, SqlColumn]:
    """The origin of each column, for a condition; `code_digest` is that of today's code.

    `numbers` are the columns of the index that repeat numbers; None where it has none.
    `attempt` and `stale` are columns of a condition alone, unless a param or metric has the name.
    """
    by_name = {name: SqlColumn(name) for name in (*FIRST, *LAST)}
    by_name["index"] = SqlColumn("idx")
    members = {"params": columns.params, "metrics": columns.metrics, "carried": columns.carried}
    numbers = numbers or {}
    for column, names in members.items():
        above = {keys[:depth] for keys in names for depth in range(1, len(keys))}
        by_name |= {
            name: SqlColumn(column, keys, numbers.get((column, keys)), keys in above)
            for keys, name in names.items()
        }
    return {"attempt": SqlColumn("attempt"), "stale": stale_column(code_digest)} | by_name
