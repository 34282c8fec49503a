"""What cases carry, what they read, and what identifies them, in each kind of database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpcsweep.errors import StoreError
from hpcsweep.store import SweepIndex
from hpcsweep.tables.sql_columns import SqlColumn
from hpcsweep.tables.where import parse
from tests.support.backends import Backend, backend
from tests.support.postgres import database, postgres
from tests.support.rows import MANIFEST, batch, better, case

__all__ = ["backend", "database", "postgres"]

GROUPS: list[Any] = ["x", "ä", None, 7, "NUL \0"]


@pytest.fixture
def sweep_index(backend: Backend) -> SweepIndex:
    """An index with five cases; the last one carries nothing."""
    index = backend.sweep_index()
    index.create("s", MANIFEST)
    carried = {number: json.dumps({"group": group}) for number, group in enumerate(GROUPS)}
    assert index.merge(batch(*(case(number) for number in range(6)), carried=carried))
    return index


def carried(sweep_index: SweepIndex) -> list[Any]:
    pages = sweep_index.columns(("carried",))
    texts = [text for page in pages for text in page["carried"]]
    return [None if text is None else json.loads(text)["group"] for text in texts]


def test_carried_cells_are_of_the_place(sweep_index: SweepIndex) -> None:
    assert carried(sweep_index) == [*GROUPS, None]
    assert sweep_index.kinds().carried == {("group",): "json"}
    # The same cases in another order, with other cells.
    cells = [json.dumps({"group": f"new {index}"}) for index in range(6)]

    def mirrored(row: dict[str, Any]) -> int:
        return 5 - int(row["idx"])

    assert sweep_index.reorder(MANIFEST, "1" * 16, mirrored, cells.__getitem__)
    assert carried(sweep_index) == [f"new {index}" for index in range(6)]
    assert sweep_index.kinds().carried == {("group",): "str"}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("group == 'x'", [0]),
        ("group == None", [2, 5]),
        ("group != 'ä'", [0, 2, 3, 4]),
        ("group > 5 and x == 3", [3]),
    ],
)
def test_conditions_on_carried_cells(sweep_index: SweepIndex, where: str, found: list[int]) -> None:
    fields = {"group": SqlColumn("carried", ("group",)), "x": SqlColumn("params", ("x",))}
    condition = parse(where, fields, sweep_index.dialect)
    assert list(sweep_index.indices(condition)) == found


def test_input_files_are_those_of_the_record_that_counts(sweep_index: SweepIndex) -> None:
    first, second = case(0), better(case(0))
    old, new = (
        (row["case_id"], row["rank"], json.dumps({name: None}))
        for row, name in ((first, "old"), (second, "new"))
    )
    assert sweep_index.merge(batch(first, inputs=[old]))
    assert list(sweep_index.inputs()) == [(0, '{"old": null}')]
    # In any order and however often.
    for one in ([new, old], [old], [new]):
        assert sweep_index.merge(batch(second, inputs=one))
        assert list(sweep_index.inputs()) == [(0, '{"new": null}')]
    # The attempt that counts now read no files.
    assert sweep_index.merge(batch(better(case(0), 2)))
    assert list(sweep_index.inputs()) == []
    sweep_index.clear()
    assert list(sweep_index.inputs()) == []


def test_a_key_is_what_two_records_of_a_case_share(sweep_index: SweepIndex) -> None:
    key = frozenset({"x"})
    moved = better(case(1), params=json.dumps({"x": 1, "fasta": "moved"}))
    assert sweep_index.merge(batch(moved, key=key))
    other = better(case(1), 2, params=json.dumps({"x": 2, "fasta": "moved"}))
    with pytest.raises(StoreError, match="two cases share the id"):
        sweep_index.merge(batch(other, key=key))
    with pytest.raises(StoreError, match="two cases share the id"):
        sweep_index.merge(batch(better(case(1), 2)))
