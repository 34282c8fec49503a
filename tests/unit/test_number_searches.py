"""Searches on SQLite: which need neither the JSON of rows nor all rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from hpcsweep.errors import StoreError
from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import ColumnKinds
from hpcsweep.tables.columns import all_columns, fields
from hpcsweep.tables.sql_columns import SqlColumn, orderable
from hpcsweep.tables.where import parse
from tests.support.rows import MANIFEST, batch, case

COUNT = 20
COLUMNS = all_columns(ColumnKinds({("x",): "int"}, {("loss",): "float", ("steps",): "int"}, {}))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An index whose cases have two numbers in columns, and JSON that nobody can decode."""
    sweep_index = SweepIndex(tmp_path / "store.sqlite3", "s")
    sweep_index.create("s", MANIFEST)
    made = batch(*(case(at, metrics=json.dumps({"loss": at / 2})) for at in range(COUNT)))
    made.numbers = {("params", ("x",)): "p1", ("metrics", ("loss",)): "m1"}
    made.cases |= {"p1": list(range(COUNT)), "m1": [at / 2 for at in range(COUNT)]}
    assert sweep_index.merge(made)
    with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as connection:
        connection.execute("UPDATE cases SET params = 'torn', metrics = 'torn'")
        connection.commit()
    return tmp_path / "store.sqlite3"


def by_name(sweep_index: SweepIndex) -> dict[str, Any]:
    return fields(COLUMNS, None, sweep_index.number_columns())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("loss < 1", [0, 1]),
        ("8 <= loss and x != 17", [16, 18, 19]),
        ("not loss < 9", [18, 19]),
        ("not (loss > 1 or x == 1) or loss == 9.5", [0, 2, 19]),
        ("x in [3, 5, 0.5, 'a', None]", [3, 5]),
        ("loss * 2 == x and x % 7 == 1", [1, 8, 15]),
        ("abs(loss - 5) < 1 and loss < x", [9, 10, 11]),
        ("isnan(loss) or not isfinite(x)", []),
        ("x == None or loss == 'a' or x == True", []),
        (" and ".join(f"x != {at}" for at in range(2, 80)), [0, 1]),
    ],
)
def test_a_condition_on_numbers_decodes_no_json(file: Path, text: str, found: list[int]) -> None:
    sweep_index = SweepIndex(file, "s")
    condition = parse(text, by_name(sweep_index), "sqlite")
    assert list(sweep_index.indices(condition)) == found


def test_an_order_of_numbers_decodes_no_json(file: Path) -> None:
    sweep_index = SweepIndex(file, "s")
    ordered = orderable(by_name(sweep_index)["loss"], "float", "sqlite")
    assert ordered
    assert list(sweep_index.leading(*ordered, 2, descending=False)) == [0, 1]
    assert list(sweep_index.leading(*ordered, 2, descending=True)) == [18, 19]


def test_a_number_without_a_column_is_in_the_json(file: Path) -> None:
    sweep_index = SweepIndex(file, "s")
    with pytest.raises(StoreError, match="malformed JSON"):
        sweep_index.indices(parse("steps < 1", by_name(sweep_index), "sqlite"))


def test_the_json_of_rows_without_null_characters_is_not_copied(tmp_path: Path) -> None:
    path, of_note = tmp_path / "store.sqlite3", {"note": SqlColumn("metrics", ("note",))}
    sweep_index = SweepIndex(path, "s")
    sweep_index.create("s", MANIFEST)
    metrics = (json.dumps({"note": note}) for note in ("C:\\d", 7))
    assert sweep_index.merge(batch(*(case(at, metrics=text) for at, text in enumerate(metrics))))
    wanted = {
        "note > 0": [1],
        "note < 1": [],
        "note == 7": [1],
        "note == 'C:\\\\d'": [0],
        "note != 'a'": [0, 1],
        "note in ['a', 'b', 7]": [1],
        "note == note": [0, 1],
    }

    def forbid_copies(connection: Any, _: Any) -> None:
        connection.create_function("replace", 3, lambda *_: 1 / 0)

    event.listen(Engine, "connect", forbid_copies)
    try:
        reader = SweepIndex(path, "s")
        found = {text: list(reader.indices(parse(text, of_note, "sqlite"))) for text in wanted}
    finally:
        event.remove(Engine, "connect", forbid_copies)
    assert found == wanted


def test_a_search_in_a_file_of_several_sweeps_finds_its_own(tmp_path: Path) -> None:
    for sweep, losses in (("s", (1, 2, -3, 4)), ("other", (4, -3, 2, -1))):
        sweep_index = SweepIndex(tmp_path / "store.sqlite3", sweep)
        sweep_index.create(sweep, MANIFEST)
        rows = (case(at, metrics=f'{{"loss": {loss}}}') for at, loss in enumerate(losses))
        assert sweep_index.merge(batch(*rows))
    for sweep, found in (("s", [2]), ("other", [1, 3])):
        sweep_index = SweepIndex(tmp_path / "store.sqlite3", sweep)
        of_sweep = by_name(sweep_index)
        assert list(sweep_index.indices(parse("loss < 0", of_sweep, "sqlite"))) == found
        ordered = orderable(of_sweep["loss"], "float", "sqlite")
        assert ordered
        assert list(sweep_index.leading(*ordered, len(found), descending=False)) == found


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed meanwhile, with their variables."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, variables: Any, *_: Any) -> None:
        seen.append((sql, variables))

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def test_cases_are_looked_up_by_their_ids(file: Path) -> None:
    with statements() as seen:
        ids = [f"{at:016x}" for at in (7, 3)]
        assert SweepIndex(file, "s").of_ids(ids) == {ids[1]: [3], ids[0]: [7]}
    ((sql, variables),) = [one for one in seen if one[0].startswith("SELECT")]
    with closing(sqlite3.connect(file)) as connection:
        steps = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", variables)]
    searches = [step for step in steps if step.startswith(("SEARCH", "SCAN"))]
    assert searches
    assert all("case_id=?" in step for step in searches), steps
